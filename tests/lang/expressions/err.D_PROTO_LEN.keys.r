dtrap: failed to compile script err.D_PROTO_LEN.keys.d: [D_PROTO_LEN] line 5: a[ ] prototype mismatch: 1 key passed, 2 expected
    BEGIN { a[1, 2] = 3; trace(a[1]); }
                               ^~~~
