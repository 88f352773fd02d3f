dtrap: failed to compile script err.D_PROTO_LEN.thread_array.d: [D_PROTO_LEN] line 5: x[ ] prototype mismatch: 0 keys passed, 2 expected
    BEGIN { self->x[1, 2] = 5; trace(self->x); }
                                     ^~~~~~~
