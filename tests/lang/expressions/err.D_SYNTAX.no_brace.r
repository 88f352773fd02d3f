dtrap: failed to compile script err.D_SYNTAX.no_brace.d: [D_SYNTAX] line 6: syntax error near end of input
    hint: a } is missing
