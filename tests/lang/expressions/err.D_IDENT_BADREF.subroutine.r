dtrap: failed to compile script err.D_IDENT_BADREF.subroutine.d: [D_IDENT_BADREF] line 5: function 'strlen' may not be referenced as scalar
    BEGIN { x = strlen + 1; }
                ^~~~~~
