dtrap: failed to compile script err.D_PROTO_LEN.panic.d: [D_PROTO_LEN] line 5: panic( ) prototype mismatch: 1 arg passed, 0 expected
    BEGIN { panic("now"); }
            ^~~~~~~~~~~~
