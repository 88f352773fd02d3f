dtrap: failed to compile script err.D_LLQUANT_HMAGVAL.below_low.d: [D_LLQUANT_HMAGVAL] line 5: llquantize( ) argument #3 (high magnitude) must be at least argument #2 (low magnitude)
    BEGIN { @ = llquantize(1, 10, 3, 2, 10); }
                                     ^
