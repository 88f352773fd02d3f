dtrap: failed to compile script err.D_LLQUANT_LMAGVAL.negative.d: [D_LLQUANT_LMAGVAL] line 5: llquantize( ) argument #2 must be an unsigned 16-bit quantity
    BEGIN { @ = llquantize(1, 10, -1, 3, 10); }
                                  ^~
