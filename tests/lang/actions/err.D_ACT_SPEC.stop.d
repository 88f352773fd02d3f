/*
 * ASSERTION: Destructive actions can't be speculated.
 * SECTION: Actions
 */
BEGIN { speculate(1); stop(); }
