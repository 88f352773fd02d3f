dtrap: failed to compile script err.D_UNKNOWN.short_long.d: [D_UNKNOWN] line 5: failed to resolve type short long : Unknown type name
    short long x;
    ^~~~~~~~~~
