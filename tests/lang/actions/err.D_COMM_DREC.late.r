dtrap: failed to compile script err.D_COMM_DREC.late.d: [D_COMM_DREC] line 5: commit( ) may not follow data-recording action(s)
    BEGIN { trace(1); commit(1); }
                      ^~~~~~~~~
