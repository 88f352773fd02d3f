dtrap: failed to compile script err.D_UNKNOWN.register_too_large.d: [D_UNKNOWN] line 5: uregs[]: index out of bounds (26)
    BEGIN { x = uregs[26]; }
                      ^~
