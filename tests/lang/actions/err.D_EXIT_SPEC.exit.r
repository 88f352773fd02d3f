dtrap: failed to compile script err.D_EXIT_SPEC.exit.d: [D_EXIT_SPEC] line 5: exit( ) may not follow speculate( )
    BEGIN { speculate(1); exit(0); }
                          ^~~~~~~
