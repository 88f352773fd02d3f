/*
 * ASSERTION: commit() must come before data is recorded.
 * SECTION: Actions
 */
BEGIN { trace(1); commit(1); }
