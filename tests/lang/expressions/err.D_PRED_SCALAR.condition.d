/*
 * ASSERTION: The condition of if is an integer.
 * SECTION: Statements/if
 */
BEGIN { if (execname) trace(1); }
