dtrap: failed to compile script err.D_DECL_ENCONST.variable.d: [D_DECL_ENCONST] line 5: enumerator 'A' must be assigned to an integral constant expression
    enum { A = pid };
           ^~~~~~~
