dtrap: failed to compile script err.D_VAR_UNDEF.array.d: [D_VAR_UNDEF] line 5: a has not yet been declared or assigned
    BEGIN { trace(a[1]); }
                  ^~~~
