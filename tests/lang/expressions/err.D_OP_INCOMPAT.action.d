/*
 * ASSERTION: What an action gives is no operand.
 * SECTION: Expressions
 */
BEGIN { x = 1 + trace(1); }
