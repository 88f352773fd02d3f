dtrap: failed to compile script err.D_UNKNOWN.array.d: [D_UNKNOWN] line 5: not supported by this version of dtrap: associative arrays
    int x[int];
        ^~~~~~
