dtrap: failed to compile script err.D_LLQUANT_LMAGTYPE.not_constant.d: [D_LLQUANT_LMAGTYPE] line 5: llquantize( ) argument #2 must be an integer constant
    BEGIN { @ = llquantize(1, 10, arg0, 3, 10); }
                                  ^~~~
