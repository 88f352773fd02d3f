/*
 * ASSERTION: Nothing is aggregated behind speculate().
 * SECTION: Actions
 */
BEGIN { speculate(1); @ = count(); }
