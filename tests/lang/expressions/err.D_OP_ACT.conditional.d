/*
 * ASSERTION: An action is no operand.
 * SECTION: Expressions
 */
BEGIN { pid ? trace(1) : 0; }
