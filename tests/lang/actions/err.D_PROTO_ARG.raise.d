/*
 * ASSERTION: raise() takes a number.
 * SECTION: Actions
 */
BEGIN { raise("KILL"); }
