/*
 * ASSERTION: An associative array has been assigned to before.
 * SECTION: Expressions
 */
BEGIN { trace(a[1]); }
