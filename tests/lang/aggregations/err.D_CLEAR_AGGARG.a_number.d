/*
 * ASSERTION: clear() takes an aggregation.
 * SECTION: Aggregations/clear
 */
BEGIN { clear(1); }
