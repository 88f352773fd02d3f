/*
 * ASSERTION: clear() takes an aggregation that the program has.
 * SECTION: Aggregations/clear
 */
BEGIN { clear(@nosuch); }
