dtrap: failed to compile script err.D_LLQUANT_HMAGTYPE.not_constant.d: [D_LLQUANT_HMAGTYPE] line 5: llquantize( ) argument #3 must be an integer constant
    BEGIN { @ = llquantize(1, 10, 0, arg0, 10); }
                                     ^~~~
