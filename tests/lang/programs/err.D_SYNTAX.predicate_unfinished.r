dtrap: failed to compile script err.D_SYNTAX.predicate_unfinished.d: [D_SYNTAX] line 7: syntax error near "/"
    /pid == 1 &&/
                ^
