dtrap: failed to compile script err.D_SYNTAX.bare_block.d: [D_SYNTAX] line 5: syntax error near "{"
    BEGIN { trace(1); { trace(2); } }
                      ^
