dtrap: failed to compile script err.D_DIV_ZERO.remainder.d: [D_DIV_ZERO] line 5: expression contains division by zero
    BEGIN { x = arg0 % (1 - 1); }
                ^~~~~~~~~~~~~~
