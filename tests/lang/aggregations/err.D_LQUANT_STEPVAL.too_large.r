dtrap: failed to compile script err.D_LQUANT_STEPVAL.too_large.d: [D_LQUANT_STEPVAL] line 5: lquantize( ) argument #3 must be a 16-bit quantity
    BEGIN { @ = lquantize(1, 0, 100000, 65536); }
                                        ^~~~~
