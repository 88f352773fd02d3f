/*
 * ASSERTION: Division by the constant 0 is an error.
 * SECTION: Expressions/Operators
 */
BEGIN { x = 1 / 0; }
