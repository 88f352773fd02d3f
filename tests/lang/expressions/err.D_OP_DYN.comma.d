/*
 * ASSERTION: An aggregation is no operand.
 * SECTION: Expressions
 */
BEGIN { x = (@a, 1); }
