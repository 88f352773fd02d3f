dtrap: failed to compile script err.D_SYNTAX.suffix.d: [D_SYNTAX] line 5: syntax error near "u); }"
    BEGIN { trace(1uu); }
                    ^
