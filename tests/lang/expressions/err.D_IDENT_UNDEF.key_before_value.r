dtrap: failed to compile script err.D_IDENT_UNDEF.key_before_value.d: [D_IDENT_UNDEF] line 5: failed to resolve key: Unknown variable name
    BEGIN { a[key] = value; }
              ^~~
