dtrap: failed to compile script err.D_LLQUANT_MATCHLMAG.two_bounds.d: [D_LLQUANT_MATCHLMAG] line 5: llquantize() lmag (argument #2) doesn't match previous declaration: expected 0, found 1
    BEGIN { @ = llquantize(1, 10, 0, 3, 10); @ = llquantize(1, 10, 1, 3, 10); }
                                                                   ^
