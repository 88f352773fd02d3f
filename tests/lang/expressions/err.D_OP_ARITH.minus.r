dtrap: failed to compile script err.D_OP_ARITH.minus.d: [D_OP_ARITH] line 5: operator - requires an operand of arithmetic type
    BEGIN { x = -"text"; }
                ^~~~~~~
