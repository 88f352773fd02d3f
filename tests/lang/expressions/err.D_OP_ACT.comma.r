dtrap: failed to compile script err.D_OP_ACT.comma.d: [D_OP_ACT] line 5: operator , operands cannot be actions
    BEGIN { trace(1), trace(2); }
            ^~~~~~~~
