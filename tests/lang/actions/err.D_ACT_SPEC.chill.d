/*
 * ASSERTION: Actions that DTrace does not have yet are destructive all the same.
 * SECTION: Speculation
 */
BEGIN { speculate(1); chill(10); }
