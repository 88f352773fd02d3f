dtrap: failed to compile script err.D_LQUANT_LIMVAL.too_large.d: [D_LQUANT_LIMVAL] line 5: lquantize( ) argument #2 must be a 32-bit quantity
    BEGIN { @ = lquantize(1, 0, 2147483648, 1); }
                                ^~~~~~~~~~
