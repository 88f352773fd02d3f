/*
 * ASSERTION: Unary - takes a number.
 * SECTION: Expressions/Operators
 */
BEGIN { x = -"text"; }
