/*
 * ASSERTION: ! takes a scalar.
 * SECTION: Expressions/Operators
 */
BEGIN { x = !execname; }
