dtrap: failed to compile script err.D_SYNTAX.missing_parenthesis.d: [D_SYNTAX] line 5: syntax error near ";"
    BEGIN { trace((1; }
                    ^
