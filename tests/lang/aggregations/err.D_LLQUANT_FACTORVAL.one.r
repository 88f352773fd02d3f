dtrap: failed to compile script err.D_LLQUANT_FACTORVAL.one.d: [D_LLQUANT_FACTORVAL] line 5: llquantize( ) argument #1 must be an unsigned 16-bit quantity greater than or equal to 2
    BEGIN { @ = llquantize(1, 1, 0, 3, 10); }
                              ^
