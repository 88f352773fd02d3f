dtrap: failed to compile script err.D_DIV_ZERO.unknown_variable.d: [D_DIV_ZERO] line 5: expression contains division by zero
    BEGIN { x /= 0; }
            ^~~~~~
