/*
 * ASSERTION: A constant index is inside the array.
 * SECTION: Expressions
 */
int a[3];
BEGIN { trace(a[3]); }
