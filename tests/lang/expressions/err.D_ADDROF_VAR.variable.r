dtrap: failed to compile script err.D_ADDROF_VAR.variable.d: [D_ADDROF_VAR] line 5: cannot take address of dynamic variable
    BEGIN { x = 1; y = &x; }
                       ^~
