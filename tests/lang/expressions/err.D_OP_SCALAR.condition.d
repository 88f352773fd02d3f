/*
 * ASSERTION: The condition of ?: is a scalar.
 * SECTION: Expressions/Operators
 */
BEGIN { x = execname ? 1 : 2; }
