dtrap: failed to compile script err.D_SYNTAX.empty_structure.d: [D_SYNTAX] line 5: syntax error near "}"
    struct nothing { };
                     ^
