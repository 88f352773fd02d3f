dtrap: failed to compile script err.D_DECL_BFTYPE.pointer.d: [D_DECL_BFTYPE] line 5: invalid type for bit-field: a
    struct s { char *a : 3; };
                    ^~~~~~
