dtrap: failed to compile script err.D_UNKNOWN.long_three_times.d: [D_UNKNOWN] line 5: failed to resolve type long long long : Unknown type name
    long long long x;
    ^~~~~~~~~~~~~~
