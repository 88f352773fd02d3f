/*
 * ASSERTION: An aggregating function alone is no statement.
 * SECTION: Aggregations
 */
BEGIN { count(); }
