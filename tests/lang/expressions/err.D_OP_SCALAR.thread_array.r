dtrap: failed to compile script err.D_OP_SCALAR.thread_array.d: [D_OP_SCALAR] line 5: operator ++ requires operand of scalar type
    BEGIN { self->x[1] = 5; self->x++; }
                            ^~~~~~~~~
