dtrap: failed to compile script err.D_IDENT_BADREF.action.d: [D_IDENT_BADREF] line 5: tracing function 'printf' may not be referenced as scalar
    BEGIN { x = printf; }
                ^~~~~~
