dtrap: failed to compile script err.D_SYNTAX.loop.d: [D_SYNTAX] line 5: syntax error near "for"
    BEGIN { for (;;) { } }
            ^~~
    hint: D has no loops
