dtrap: failed to compile script err.D_IDENT_UNDEF.before_the_number.d: [D_IDENT_UNDEF] line 5: failed to resolve nosuch: Unknown variable name
    BEGIN { exit(nosuch, 2); }
                 ^~~~~~
