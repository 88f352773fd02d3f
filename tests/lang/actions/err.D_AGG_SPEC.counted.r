dtrap: failed to compile script err.D_AGG_SPEC.counted.d: [D_AGG_SPEC] line 5: aggregating actions may not follow speculate( )
    BEGIN { speculate(1); @ = count(); }
                          ^~~~~~~~~~~
