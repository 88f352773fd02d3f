dtrap: failed to compile script err.D_UNKNOWN.struct.d: [D_UNKNOWN] line 5: not supported by this version of dtrap: struct types
    struct s { int a; };
    ^~~~~~~~~~~~~~~~~~~
