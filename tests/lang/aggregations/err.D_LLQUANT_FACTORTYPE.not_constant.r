dtrap: failed to compile script err.D_LLQUANT_FACTORTYPE.not_constant.d: [D_LLQUANT_FACTORTYPE] line 5: llquantize( ) argument #1 must be an integer constant
    BEGIN { @ = llquantize(1, arg0, 0, 3, 10); }
                              ^~~~
