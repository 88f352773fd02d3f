dtrap: failed to compile script err.D_OP_INT.complement.d: [D_OP_INT] line 5: operator ~ requires an operand of integral type
    BEGIN { x = ~"text"; }
                ^~~~~~~
