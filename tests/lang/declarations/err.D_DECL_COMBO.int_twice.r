dtrap: failed to compile script err.D_DECL_COMBO.int_twice.d: [D_DECL_COMBO] line 5: invalid type combination
    unsigned int int x;
    ^~~~~~~~~~~~~~~~
