dtrap: failed to compile script err.D_TRUNC_AGGBAD.unknown.d: [D_TRUNC_AGGBAD] line 5: undefined aggregation: @nosuch
    BEGIN { trunc(@nosuch, 5); }
                  ^~~~~~~
