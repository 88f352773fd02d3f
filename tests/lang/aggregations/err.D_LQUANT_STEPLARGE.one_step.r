dtrap: failed to compile script err.D_LQUANT_STEPLARGE.one_step.d: [D_LQUANT_STEPLARGE] line 5: lquantize( ) step (argument #3) too large: must have at least one quantization level
    BEGIN { @ = lquantize(1, 0, 10, 20); }
                                    ^~
