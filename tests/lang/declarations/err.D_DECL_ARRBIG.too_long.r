dtrap: failed to compile script err.D_DECL_ARRBIG.too_long.d: [D_DECL_ARRBIG] line 5: array dimension too big
    char a[0x100000000];
         ^~~~~~~~~~~~~~
