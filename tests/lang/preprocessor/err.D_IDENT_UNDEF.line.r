dtrap: failed to compile script err.D_IDENT_UNDEF.line.d: [D_IDENT_UNDEF] "made.from", line 101: failed to resolve nothing: Unknown variable name
    BEGIN { trace(nothing); }
                  ^~~~~~~
