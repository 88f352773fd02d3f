dtrap: failed to compile script err.D_FREOPEN_INVALID.dot.d: [D_FREOPEN_INVALID] line 5: freopen( ) argument #1 cannot be "."
    BEGIN { freopen("."); }
                    ^~~
