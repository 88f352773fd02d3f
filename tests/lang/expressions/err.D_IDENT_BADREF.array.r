dtrap: failed to compile script err.D_IDENT_BADREF.array.d: [D_IDENT_BADREF] line 5: associative array 'a' may not be referenced as scalar
    BEGIN { a[1] = 3; trace(a); }
                            ^
