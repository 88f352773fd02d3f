dtrap: failed to compile script err.D_OP_SCALAR.condition.d: [D_OP_SCALAR] line 5: operator ?: expression must be of scalar type
    BEGIN { x = execname ? 1 : 2; }
                ^~~~~~~~~~~~~~~~
