/*
 * ASSERTION: speculate() may stand once in a clause.
 * SECTION: Actions
 */
BEGIN { speculate(1); speculate(1); }
