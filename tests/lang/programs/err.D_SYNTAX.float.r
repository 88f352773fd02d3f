dtrap: failed to compile script err.D_SYNTAX.float.d: [D_SYNTAX] line 5: floating-point constants are not permitted
    BEGIN { x = 1.5; }
                ^~~
