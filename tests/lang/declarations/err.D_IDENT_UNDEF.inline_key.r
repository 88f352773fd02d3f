dtrap: failed to compile script err.D_IDENT_UNDEF.inline_key.d: [D_IDENT_UNDEF] line 6: failed to resolve number: Unknown variable name
    BEGIN { trace(number); }
                  ^~~~~~
