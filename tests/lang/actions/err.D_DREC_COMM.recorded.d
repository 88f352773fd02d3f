/*
 * ASSERTION: Nothing is recorded behind commit().
 * SECTION: Actions
 */
BEGIN { commit(1); trace(1); }
