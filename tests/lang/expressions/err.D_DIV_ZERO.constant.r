dtrap: failed to compile script err.D_DIV_ZERO.constant.d: [D_DIV_ZERO] line 5: expression contains division by zero
    BEGIN { x = 1 / 0; }
                ^~~~~
