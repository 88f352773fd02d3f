dtrap: failed to compile script err.D_DECL_IDRED.aggregating_function.d: [D_DECL_IDRED] line 5: built-in identifier redeclared: count
    int count;
        ^~~~~
    hint: count is part of D, or an inline
