dtrap: failed to compile script err.D_OP_INCOMPAT.stack.d: [D_OP_INCOMPAT] line 5: operands have incompatible types: "dt_stack_t" = "int"
    BEGIN { x = ustack(); x = ustack(2); self->y = x; self->y = 0; x = 5; }
                                                                   ^~~~~
