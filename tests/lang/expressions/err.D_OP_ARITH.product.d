/*
 * ASSERTION: * takes numbers.
 * SECTION: Expressions/Operators
 */
BEGIN { x = "text" * 2; }
