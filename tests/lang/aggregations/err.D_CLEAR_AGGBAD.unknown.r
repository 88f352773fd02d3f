dtrap: failed to compile script err.D_CLEAR_AGGBAD.unknown.d: [D_CLEAR_AGGBAD] line 5: undefined aggregation: @nosuch
    BEGIN { clear(@nosuch); }
                  ^~~~~~~
