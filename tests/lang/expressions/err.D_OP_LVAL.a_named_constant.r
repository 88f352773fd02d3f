dtrap: failed to compile script err.D_OP_LVAL.a_named_constant.d: [D_OP_LVAL] line 5: operator = requires modifiable lvalue as an operand
    BEGIN { R_RAX = 3; }
            ^~~~~~~~~
