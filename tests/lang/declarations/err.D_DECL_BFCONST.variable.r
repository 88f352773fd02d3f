dtrap: failed to compile script err.D_DECL_BFCONST.variable.d: [D_DECL_BFCONST] line 6: positive integral constant expression expected as bit-field size
    struct s { int a : n; };
                   ^~~~~
