dtrap: failed to compile script err.D_ALLOCA_INCOMPAT.ternary.d: [D_ALLOCA_INCOMPAT] line 5: ternary conditional with alloca and non-alloca branches cannot be assigned to a variable
    BEGIN { x = 1; p = x ? alloca(8) : 0; }
                   ^~~~~~~~~~~~~~~~~~~~~
