dtrap: failed to compile script err.D_AGG_COMM.counted.d: [D_AGG_COMM] line 5: aggregating actions may not follow commit( )
    BEGIN { commit(1); @ = count(); }
                       ^~~~~~~~~~~
