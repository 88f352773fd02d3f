dtrap: failed to compile script err.D_OP_LVAL.in_expression.d: [D_OP_LVAL] line 5: operator = may be applied to an aggregation as a statement only
    BEGIN { x = (@a = count()); }
                 ^~~~~~~~~~~~
