dtrap: failed to compile script err.D_LQUANT_BASETYPE.not_constant.d: [D_LQUANT_BASETYPE] line 5: lquantize( ) argument #1 must be an integer constant
    BEGIN { @ = lquantize(1, arg0, 10, 1); }
                             ^~~~
