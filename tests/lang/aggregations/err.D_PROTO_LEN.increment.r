dtrap: failed to compile script err.D_PROTO_LEN.increment.d: [D_PROTO_LEN] line 5: lquantize( ) prototype mismatch: 6 args passed, at most 5 expected
    BEGIN { @ = lquantize(1, 0, 10, 1, 1, 1); }
                ^~~~~~~~~~~~~~~~~~~~~~~~~~~~
