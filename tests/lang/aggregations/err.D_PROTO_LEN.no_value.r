dtrap: failed to compile script err.D_PROTO_LEN.no_value.d: [D_PROTO_LEN] line 5: sum( ) prototype mismatch: 0 args passed, 1 expected
    BEGIN { @a = sum(); }
                 ^~~~~
