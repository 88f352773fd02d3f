dtrap: failed to compile script err.D_INT_OFLOW.too_long.d: [D_INT_OFLOW] line 5: constant 99999999999999999999 results in integer overflow
    BEGIN { x = 99999999999999999999; }
                ^~~~~~~~~~~~~~~~~~~~
