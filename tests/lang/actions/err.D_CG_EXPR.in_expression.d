/*
 * ASSERTION: An action is no operand of an expression.
 * SECTION: Actions and subroutines
 */
BEGIN { (void)trace(1); }
