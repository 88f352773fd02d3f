dtrap: failed to compile script err.D_UNKNOWN.too_large.d: [D_UNKNOWN] line 5: not supported by this version of dtrap: more than 1048576 bytes of global variables
    char a[0x1000000];
         ^~~~~~~~~~~~
