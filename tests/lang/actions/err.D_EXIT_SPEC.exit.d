/*
 * ASSERTION: exit() can't be speculated.
 * SECTION: Actions
 */
BEGIN { speculate(1); exit(0); }
