dtrap: failed to compile script err.D_DECL_COMBO.no_semicolon.d: [D_DECL_COMBO] line 7: invalid type combination
    struct b { int y; };
    ^~~~~~
