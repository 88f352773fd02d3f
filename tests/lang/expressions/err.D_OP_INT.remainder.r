dtrap: failed to compile script err.D_OP_INT.remainder.d: [D_OP_INT] line 5: operator % requires operands of integral type
    BEGIN { x = "text" % 2; }
                ^~~~~~~~~~
