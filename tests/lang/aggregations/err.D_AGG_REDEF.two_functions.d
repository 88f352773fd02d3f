/*
 * ASSERTION: One aggregation has one aggregating function.
 * SECTION: Aggregations
 */
BEGIN { @a = count(); @a = sum(1); exit(0); }
