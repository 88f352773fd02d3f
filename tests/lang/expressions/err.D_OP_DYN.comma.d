/*
 * ASSERTION: An aggregation is no operand.
 * SECTION: Expressions
 */
BEGIN { @a = count(); x = (@a, 1); }
