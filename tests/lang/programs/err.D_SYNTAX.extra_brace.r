dtrap: failed to compile script err.D_SYNTAX.extra_brace.d: [D_SYNTAX] line 5: syntax error near "}"
    BEGIN { trace(1); } }
                        ^
