/*
 * ASSERTION: The upper bound of lquantize() is a constant.
 * SECTION: Aggregations/lquantize
 */
BEGIN { @ = lquantize(1, 0, arg0, 1); }
