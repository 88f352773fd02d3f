dtrap: failed to compile script err.D_LQUANT_MISMATCH.range.d: [D_LQUANT_MISMATCH] line 5: lquantize( ) base (argument #1) must be less than limit (argument #2)
    BEGIN { @a = lquantize(1, 10, 0, 1); }
                              ^~
