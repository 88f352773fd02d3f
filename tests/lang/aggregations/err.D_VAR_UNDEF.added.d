/*
 * ASSERTION: An aggregation has no value to add to.
 * SECTION: Aggregations
 */
BEGIN { @a = sum(1); @a += 1; }
