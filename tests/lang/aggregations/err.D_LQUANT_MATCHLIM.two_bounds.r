dtrap: failed to compile script err.D_LQUANT_MATCHLIM.two_bounds.d: [D_LQUANT_MATCHLIM] line 5: lquantize( ) limit (argument #2) doesn't match previous declaration: expected 10, found 20
    BEGIN { @ = lquantize(1, 0, 10, 1); @ = lquantize(1, 0, 20, 1); }
                                                            ^~
