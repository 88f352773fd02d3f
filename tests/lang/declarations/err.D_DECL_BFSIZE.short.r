dtrap: failed to compile script err.D_DECL_BFSIZE.short.d: [D_DECL_BFSIZE] line 5: bit-field too big for type: a
    struct s { short a : 17; };
                     ^~~~~~
