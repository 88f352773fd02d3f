dtrap: failed to compile script err.D_IDENT_BADREF.ustack.d: [D_IDENT_BADREF] line 5: function 'ustack' may not be referenced as scalar
    BEGIN { x = ustack; }
                ^~~~~~
