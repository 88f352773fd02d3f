dtrap: failed to compile script err.D_SYNTAX.open_comment.d: [D_SYNTAX] line 6: end-of-file encountered before matching */
    BEGIN { /* a }
            ^~~~~~
