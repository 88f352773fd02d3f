dtrap: failed to compile script err.D_ARR_BADREF.two_indices.d: [D_ARR_BADREF] line 6: cannot access scalar a as an associative array
    BEGIN { trace(a[1, 2]); }
                  ^~~~~~~
