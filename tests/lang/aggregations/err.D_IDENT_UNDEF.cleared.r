dtrap: failed to compile script err.D_IDENT_UNDEF.cleared.d: [D_IDENT_UNDEF] line 5: failed to resolve @nosuch: Unknown variable name
    BEGIN { clear(@nosuch); }
                  ^~~~~~~
