dtrap: failed to compile script err.D_PROTO_LEN.exit.d: [D_PROTO_LEN] line 5: exit( ) prototype mismatch: 0 args passed, 1 expected
    BEGIN { exit(); }
            ^~~~~~
