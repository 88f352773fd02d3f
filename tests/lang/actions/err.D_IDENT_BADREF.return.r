dtrap: failed to compile script err.D_IDENT_BADREF.return.d: [D_IDENT_BADREF] line 5: tracing function 'return' may not be referenced as scalar
    BEGIN { return; }
            ^~~~~~
