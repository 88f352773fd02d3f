/*
 * ASSERTION: An aggregation is no operand of an expression.
 * SECTION: Aggregations
 */
BEGIN { @a = count(); x = @a + 1; }
