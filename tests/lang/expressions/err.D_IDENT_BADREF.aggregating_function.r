dtrap: failed to compile script err.D_IDENT_BADREF.aggregating_function.d: [D_IDENT_BADREF] line 5: aggregating function 'count' may not be referenced as scalar
    BEGIN { x = count; }
                ^~~~~
