dtrap: failed to compile script err.D_SYNTAX.open_parenthesis.d: [D_SYNTAX] line 5: syntax error near "/"
    BEGIN /(1/ { trace(1); }
             ^
