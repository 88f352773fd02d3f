dtrap: failed to compile script err.D_PRINTA_AGGBAD.unknown.d: [D_PRINTA_AGGBAD] line 5: undefined aggregation: @nosuch
    BEGIN { printa(@nosuch); }
                   ^~~~~~~
