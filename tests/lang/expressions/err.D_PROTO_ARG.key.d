/*
 * ASSERTION: A key has the type that the first use gave it.
 * SECTION: Expressions
 */
BEGIN { a[1] = 3; trace(a["x"]); }
