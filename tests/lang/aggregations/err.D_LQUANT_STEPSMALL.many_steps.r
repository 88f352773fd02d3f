dtrap: failed to compile script err.D_LQUANT_STEPSMALL.many_steps.d: [D_LQUANT_STEPSMALL] line 5: lquantize( ) step (argument #3) too small: number of quantization levels must be a 16-bit quantity
    BEGIN { @ = lquantize(1, 0, 65536, 1); }
                                       ^
