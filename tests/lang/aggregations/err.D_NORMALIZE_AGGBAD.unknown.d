/*
 * ASSERTION: denormalize() takes an aggregation that the program has.
 * SECTION: Aggregations/normalize
 */
BEGIN { denormalize(@nosuch); }
