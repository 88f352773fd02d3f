dtrap: failed to compile script err.D_PROTO_LEN.ustack.d: [D_PROTO_LEN] line 5: ustack( ) prototype mismatch: 3 args passed, at most 2 expected
    BEGIN { @[1, ustack(1, 2, 3)] = count(); }
                 ^~~~~~~~~~~~~~~
