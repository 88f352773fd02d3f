/*
 * ASSERTION: Variables have no address.
 * SECTION: Expressions/Operators
 */
BEGIN { x = 1; y = &x; }
