/*
 * ASSERTION: An aggregation is assigned to by a statement only.
 * SECTION: Aggregations
 */
BEGIN { x = (@a = count()); }
