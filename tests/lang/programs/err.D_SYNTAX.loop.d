/*
 * ASSERTION: D has no loops.
 * SECTION: Statements
 */
BEGIN { for (;;) { } }
