dtrap: failed to compile script err.D_OP_LVAL.step.d: [D_OP_LVAL] line 5: operator ++ requires modifiable lvalue as an operand
    BEGIN { (x + 1)++; }
            ^~~~~~~~~
