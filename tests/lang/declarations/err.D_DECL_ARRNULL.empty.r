dtrap: failed to compile script err.D_DECL_ARRNULL.empty.d: [D_DECL_ARRNULL] line 5: array declaration requires array dimension or tuple signature: a
    int a[];
        ^~~
