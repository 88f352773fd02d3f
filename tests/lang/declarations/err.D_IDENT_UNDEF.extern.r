dtrap: failed to compile script err.D_IDENT_UNDEF.extern.d: [D_IDENT_UNDEF] line 8: failed to resolve y: Unknown variable name
    BEGIN { trace(y); }
                  ^
