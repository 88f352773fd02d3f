/*
 * ASSERTION: exit() may not follow commit().
 * SECTION: Speculation
 */
BEGIN { commit(1); exit(0); }
