/*
 * ASSERTION: An action is no operand.
 * SECTION: Expressions
 */
BEGIN { trace(1), trace(2); }
