dtrap: failed to compile script err.D_IDENT_UNDEF.near.d: [D_IDENT_UNDEF] line 5: failed to resolve probfunc: Unknown variable name
    BEGIN { trace(probfunc); }
                  ^~~~~~~~
    hint: did you mean probefunc?
