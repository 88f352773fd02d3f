dtrap: failed to compile script err.D_LQUANT_MATCHBASE.two_bounds.d: [D_LQUANT_MATCHBASE] line 5: lquantize( ) base (argument #1) doesn't match previous declaration: expected 0, found 1
    BEGIN { @ = lquantize(1, 0, 10, 1); @ = lquantize(1, 1, 10, 1); }
                                                         ^
