/*
 * ASSERTION: An array has one index.
 * SECTION: Expressions
 */
int a[3];
BEGIN { trace(a[1, 2]); }
