dtrap: failed to compile script err.D_SPEC_SPEC.twice.d: [D_SPEC_SPEC] line 5: speculate( ) may not follow speculate( )
    BEGIN { speculate(1); speculate(1); }
                          ^~~~~~~~~~~~
