dtrap: failed to compile script err.D_LQUANT_BASEVAL.too_large.d: [D_LQUANT_BASEVAL] line 5: lquantize( ) argument #1 must be a 32-bit quantity
    BEGIN { @ = lquantize(1, -2147483649, 10, 1); }
                             ^~~~~~~~~~~
