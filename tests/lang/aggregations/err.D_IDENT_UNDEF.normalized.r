dtrap: failed to compile script err.D_IDENT_UNDEF.normalized.d: [D_IDENT_UNDEF] line 5: failed to resolve @a: Unknown variable name
    BEGIN { normalize(@a); @a = count(); }
                      ^~
