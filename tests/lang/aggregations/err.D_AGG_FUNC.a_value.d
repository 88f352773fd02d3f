/*
 * ASSERTION: An aggregation takes the result of an aggregating function only.
 * SECTION: Aggregations
 */
BEGIN { @a = 1; }
