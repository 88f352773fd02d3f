dtrap: failed to compile script err.D_LQUANT_LIMTYPE.not_constant.d: [D_LQUANT_LIMTYPE] line 5: lquantize( ) argument #2 must be an integer constant
    BEGIN { @ = lquantize(1, 0, arg0, 1); }
                                ^~~~
