dtrap: failed to compile script err.D_IDENT_UNDEF.behind_include.d: [D_IDENT_UNDEF] line 8: failed to resolve nothing: Unknown variable name
    BEGIN { trace(nothing); }
                  ^~~~~~~
