/*
 * ASSERTION: exit() in BEGIN keeps later clauses from running, END runs, and the status is passed on.
 * SECTION: Actions/exit
 * @@flags: -q
 * @@status: 3
 */
BEGIN { exit(3); printf("still in the clause\n"); }
BEGIN { printf("not reached\n"); }
END { printf("end\n"); }
