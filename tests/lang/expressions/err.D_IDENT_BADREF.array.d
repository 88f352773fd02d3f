/*
 * ASSERTION: An associative array is no value.
 * SECTION: Expressions
 */
BEGIN { a[1] = 3; trace(a); }
