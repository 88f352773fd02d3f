/*
 * ASSERTION: lquantize() takes at most five arguments.
 * SECTION: Aggregations/lquantize
 */
BEGIN { @ = lquantize(1, 0, 10, 1, 1, 1); }
