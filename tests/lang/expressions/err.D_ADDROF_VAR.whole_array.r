dtrap: failed to compile script err.D_ADDROF_VAR.whole_array.d: [D_ADDROF_VAR] line 6: cannot take address of dynamic variable
    BEGIN { p = &a[1]; q = &a; }
                           ^~
