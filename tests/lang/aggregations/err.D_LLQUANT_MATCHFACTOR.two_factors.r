dtrap: failed to compile script err.D_LLQUANT_MATCHFACTOR.two_factors.d: [D_LLQUANT_MATCHFACTOR] line 5: llquantize() factor (argument #1) doesn't match previous declaration: expected 10, found 20
    BEGIN { @ = llquantize(1, 10, 0, 3, 10); @ = llquantize(1, 20, 0, 3, 10); }
                                                               ^~
