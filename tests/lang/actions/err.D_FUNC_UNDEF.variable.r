dtrap: failed to compile script err.D_FUNC_UNDEF.variable.d: [D_FUNC_UNDEF] line 5: undefined function name: x
    BEGIN { x = 1; x(1); }
                   ^~~~
