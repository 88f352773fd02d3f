dtrap: failed to compile script err.D_OP_SCALAR.and.d: [D_OP_SCALAR] line 5: operator && requires operands of scalar type
    BEGIN { x = execname && 1; }
                ^~~~~~~~~~~~~
