/*
 * ASSERTION: trunc() takes an aggregation.
 * SECTION: Aggregations/trunc
 */
BEGIN { trunc("x"); }
