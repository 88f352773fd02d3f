dtrap: failed to compile script err.D_SYNTAX.comment_in_comment.d: [D_SYNTAX] line 5: /* encountered inside a comment
    BEGIN { /* a /* b */ }
            ^~~~~~~~~~~~
