dtrap: failed to compile script err.D_IDENT_UNDEF.in_included.d: [D_IDENT_UNDEF] "./faulty.h", line 2: failed to resolve nothing: Unknown variable name
    END { trace(nothing); }
                ^~~~~~~
