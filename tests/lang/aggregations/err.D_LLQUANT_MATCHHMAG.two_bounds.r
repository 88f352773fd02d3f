dtrap: failed to compile script err.D_LLQUANT_MATCHHMAG.two_bounds.d: [D_LLQUANT_MATCHHMAG] line 5: llquantize() hmag (argument #3) doesn't match previous declaration: expected 3, found 4
    BEGIN { @ = llquantize(1, 10, 0, 3, 10); @ = llquantize(1, 10, 0, 4, 10); }
                                                                      ^
