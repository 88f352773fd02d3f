dtrap: failed to compile script err.D_VAR_UNDEF.itself.d: [D_VAR_UNDEF] line 5: x has not yet been declared or assigned
    BEGIN { x = x; }
                ^
