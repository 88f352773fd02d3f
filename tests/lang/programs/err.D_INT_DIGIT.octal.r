dtrap: failed to compile script err.D_INT_DIGIT.octal.d: [D_INT_DIGIT] line 5: constant 089 contains invalid digit 8
    BEGIN { x = 089; }
                ^~~
