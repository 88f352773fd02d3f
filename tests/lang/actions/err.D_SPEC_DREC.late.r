dtrap: failed to compile script err.D_SPEC_DREC.late.d: [D_SPEC_DREC] line 5: speculate( ) may not follow data-recording action(s)
    BEGIN { trace(1); speculate(1); }
                      ^~~~~~~~~~~~
