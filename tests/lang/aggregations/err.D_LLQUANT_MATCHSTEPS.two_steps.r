dtrap: failed to compile script err.D_LLQUANT_MATCHSTEPS.two_steps.d: [D_LLQUANT_MATCHSTEPS] line 5: llquantize() steps (argument #4) doesn't match previous declaration: expected 10, found 20
    BEGIN { @ = llquantize(1, 10, 0, 3, 10); @ = llquantize(1, 10, 0, 3, 20); }
                                                                         ^~
