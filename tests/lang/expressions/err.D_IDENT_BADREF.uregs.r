dtrap: failed to compile script err.D_IDENT_BADREF.uregs.d: [D_IDENT_BADREF] line 5: associative array 'uregs' may not be referenced as scalar
    BEGIN { x = uregs; }
                ^~~~~
    hint: for example: uregs[R_RAX]
