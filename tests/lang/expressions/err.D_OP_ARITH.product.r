dtrap: failed to compile script err.D_OP_ARITH.product.d: [D_OP_ARITH] line 5: operator * requires operands of arithmetic type
    BEGIN { x = "text" * 2; }
                ^~~~~~~~~~
