/*
 * ASSERTION: speculate() must come before data is recorded.
 * SECTION: Actions
 */
BEGIN { trace(1); speculate(1); }
