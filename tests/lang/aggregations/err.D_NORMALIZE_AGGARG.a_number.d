/*
 * ASSERTION: normalize() takes an aggregation.
 * SECTION: Aggregations/normalize
 */
BEGIN { normalize(1, 2); }
