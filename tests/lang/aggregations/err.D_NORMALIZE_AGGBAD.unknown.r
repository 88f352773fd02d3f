dtrap: failed to compile script err.D_NORMALIZE_AGGBAD.unknown.d: [D_NORMALIZE_AGGBAD] line 5: undefined aggregation: @nosuch
    BEGIN { denormalize(@nosuch); }
                        ^~~~~~~
