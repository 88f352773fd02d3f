dtrap: failed to compile script err.D_OP_INCOMPAT.thread_array.d: [D_OP_INCOMPAT] line 5: operands have incompatible types: "associative array" = "int"
    BEGIN { self->x[1] = 5; self->x = 6; }
                            ^~~~~~~~~~~
