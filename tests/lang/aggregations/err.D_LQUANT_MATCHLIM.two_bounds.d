/*
 * ASSERTION: All uses of one aggregation have the same upper bound.
 * SECTION: Aggregations/lquantize
 */
BEGIN { @ = lquantize(1, 0, 10, 1); @ = lquantize(1, 0, 20, 1); }
