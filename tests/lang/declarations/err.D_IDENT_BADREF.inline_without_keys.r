dtrap: failed to compile script err.D_IDENT_BADREF.inline_without_keys.d: [D_IDENT_BADREF] line 6: associative array 'twice' may not be referenced as scalar
    BEGIN { trace(twice); }
                  ^~~~~
