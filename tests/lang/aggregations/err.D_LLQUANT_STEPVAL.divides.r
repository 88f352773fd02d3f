dtrap: failed to compile script err.D_LLQUANT_STEPVAL.divides.d: [D_LLQUANT_STEPVAL] line 5: llquantize() argument #4 (steps) must evenly divide argument #1 (factor) when steps<factor
    BEGIN { @ = llquantize(1, 10, 0, 3, 7); }
                                        ^
