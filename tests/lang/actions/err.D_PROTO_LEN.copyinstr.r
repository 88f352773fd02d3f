dtrap: failed to compile script err.D_PROTO_LEN.copyinstr.d: [D_PROTO_LEN] line 5: copyinstr( ) prototype mismatch: 0 args passed, at least 1 expected
    BEGIN { x = copyinstr(); }
                ^~~~~~~~~~~
