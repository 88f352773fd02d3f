dtrap: failed to compile script err.D_IDENT_UNDEF.value_before_keys.d: [D_IDENT_UNDEF] line 5: failed to resolve value: Unknown variable name
    BEGIN { @[key] = sum(value); }
                         ^~~~~
