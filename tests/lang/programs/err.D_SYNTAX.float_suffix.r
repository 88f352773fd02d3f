dtrap: failed to compile script err.D_SYNTAX.float_suffix.d: [D_SYNTAX] line 5: floating-point constants are not permitted
    BEGIN { trace(1f); }
                  ^~
