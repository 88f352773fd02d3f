dtrap: failed to compile script err.D_PROTO_LEN.substr.d: [D_PROTO_LEN] line 5: substr( ) prototype mismatch: 1 arg passed, at least 2 expected
    BEGIN { trace(substr("a")); }
                  ^~~~~~~~~~~
