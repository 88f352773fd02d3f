/*
 * ASSERTION: An element keeps its type.
 * SECTION: Expressions
 */
BEGIN { a[1] = 3; a[2] = "x"; }
