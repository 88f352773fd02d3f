dtrap: failed to compile script err.D_DECL_COMBO.two_types.d: [D_DECL_COMBO] line 5: invalid type combination
    char int x;
    ^~~~~~~~
