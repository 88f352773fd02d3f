/*
 * ASSERTION: The remainder of a division by the constant 0 is an error.
 * SECTION: Expressions/Operators
 */
BEGIN { x = arg0 % (1 - 1); }
