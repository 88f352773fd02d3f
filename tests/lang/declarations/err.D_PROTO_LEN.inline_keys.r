dtrap: failed to compile script err.D_PROTO_LEN.inline_keys.d: [D_PROTO_LEN] line 6: both[ ] prototype mismatch: 1 key passed, 2 expected
    BEGIN { trace(both[1]); }
                  ^~~~~~~
