/*
 * ASSERTION: An action is no operand of an expression.
 * SECTION: Actions and subroutines
 */
BEGIN { x = 1 + trace(1); }
