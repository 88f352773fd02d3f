dtrap: failed to compile script err.D_ADDROF_LVAL.sum.d: [D_ADDROF_LVAL] line 5: unacceptable operand for unary & operator
    BEGIN { trace((long)&(1 + pid)); }
                        ^~~~~~~~~~
