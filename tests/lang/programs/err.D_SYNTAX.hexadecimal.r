dtrap: failed to compile script err.D_SYNTAX.hexadecimal.d: [D_SYNTAX] line 5: syntax error near "xg); }"
    BEGIN { trace(0xg); }
                   ^~
