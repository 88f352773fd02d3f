dtrap: failed to compile script err.D_OP_INCOMPAT.branches.d: [D_OP_INCOMPAT] line 5: operator ?: operands must have compatible types
    BEGIN { x = arg0 ? 1 : "a"; }
                ^~~~~~~~~~~~~~
