/*
 * ASSERTION: The step of lquantize() is positive.
 * SECTION: Aggregations/lquantize
 */
BEGIN { @ = lquantize(1, 0, 10, 0); }
