/*
 * ASSERTION: An element is named by all of its keys.
 * SECTION: Expressions
 */
BEGIN { a[1, 2] = 3; trace(a[1]); }
