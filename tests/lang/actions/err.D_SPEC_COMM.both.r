dtrap: failed to compile script err.D_SPEC_COMM.both.d: [D_SPEC_COMM] line 5: speculate( ) may not follow commit( )
    BEGIN { commit(1); speculate(1); }
                       ^~~~~~~~~~~~
