dtrap: failed to compile script err.D_DECL_TYPERED.struct_twice.d: [D_DECL_TYPERED] line 6: type redeclared: struct s
    struct s { int b; };
    ^~~~~~~~~~~~~~~~~~~
