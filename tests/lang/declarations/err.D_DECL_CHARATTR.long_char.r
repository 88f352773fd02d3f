dtrap: failed to compile script err.D_DECL_CHARATTR.long_char.d: [D_DECL_CHARATTR] line 5: invalid type declaration: short and long may not be used with char type
    long char x;
    ^~~~~~~~~
