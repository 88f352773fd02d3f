dtrap: failed to compile script err.D_DECL_IDRED.builtin.d: [D_DECL_IDRED] line 5: built-in identifier redeclared: pid
    int pid;
        ^~~
    hint: pid is part of D, or an inline
