dtrap: failed to compile script err.D_PROTO_LEN.count_of_something.d: [D_PROTO_LEN] line 5: count( ) prototype mismatch: 1 arg passed, 0 expected
    BEGIN { @a = count(1); }
                 ^~~~~~~~
