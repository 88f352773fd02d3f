dtrap: failed to compile script err.D_IDENT_UNDEF.before_lvalue.d: [D_IDENT_UNDEF] line 5: failed to resolve x: Unknown variable name
    BEGIN { 1 += x; }
                 ^
