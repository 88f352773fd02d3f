dtrap: failed to compile script err.D_OP_LVAL.inline_key.d: [D_OP_LVAL] line 5: operator = requires modifiable lvalue as an operand
    inline int odd[int a] = a = 5;
                            ^~~~~
