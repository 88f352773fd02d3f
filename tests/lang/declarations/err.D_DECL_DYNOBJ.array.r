dtrap: failed to compile script err.D_DECL_DYNOBJ.array.d: [D_DECL_DYNOBJ] line 5: cannot declare array of associative arrays
    int a[3][int];
        ^~~~~~~~~
