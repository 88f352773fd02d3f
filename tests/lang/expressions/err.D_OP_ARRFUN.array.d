/*
 * ASSERTION: An array is not assigned whole.
 * SECTION: Expressions
 */
int a[3], b[3];
BEGIN { a = b; }
