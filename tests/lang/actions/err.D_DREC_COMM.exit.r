dtrap: failed to compile script err.D_DREC_COMM.exit.d: [D_DREC_COMM] line 5: data-recording actions may not follow commit( )
    BEGIN { commit(1); exit(0); }
                       ^~~~~~~
