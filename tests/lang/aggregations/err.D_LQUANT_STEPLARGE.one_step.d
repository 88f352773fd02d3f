/*
 * ASSERTION: The step of lquantize() fits at least once.
 * SECTION: Aggregations/lquantize
 */
BEGIN { @ = lquantize(1, 0, 10, 20); }
