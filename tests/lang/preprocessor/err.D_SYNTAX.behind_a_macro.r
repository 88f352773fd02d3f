dtrap: failed to compile script err.D_SYNTAX.behind_a_macro.d: [D_SYNTAX] line 8: syntax error near ";"
    BEGIN { trace(1;
                   ^
