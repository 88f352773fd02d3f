/*
 * ASSERTION: An aggregation alone is no statement.
 * SECTION: Aggregations
 */
BEGIN { @a = count(); @a; }
