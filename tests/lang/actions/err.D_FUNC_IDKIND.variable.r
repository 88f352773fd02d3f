dtrap: failed to compile script err.D_FUNC_IDKIND.variable.d: [D_FUNC_IDKIND] line 5: scalar 'pid' may not be referenced as a function
    BEGIN { x = pid(1); }
                ^~~~~~
