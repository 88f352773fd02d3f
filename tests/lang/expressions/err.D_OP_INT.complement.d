/*
 * ASSERTION: ~ takes an integer.
 * SECTION: Expressions/Operators
 */
BEGIN { x = ~"text"; }
