dtrap: failed to compile script err.D_IDENT_UNDEF.before_the_next_clause.d: [D_IDENT_UNDEF] line 5: failed to resolve nosuch: Unknown variable name
    BEGIN { trace(nosuch); }
                  ^~~~~~
