/*
 * ASSERTION: trunc() takes an aggregation that the program has.
 * SECTION: Aggregations/trunc
 */
BEGIN { trunc(@nosuch, 5); }
