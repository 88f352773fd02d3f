dtrap: failed to compile script err.D_LLQUANT_STEPTYPE.zero.d: [D_LLQUANT_STEPTYPE] line 5: llquantize( ) argument #4 must be a non-zero positive integer constant
    BEGIN { @ = llquantize(1, 10, 0, 3, 0); }
                                        ^
