/*
 * ASSERTION: The lower bound of lquantize() is a constant.
 * SECTION: Aggregations/lquantize
 */
BEGIN { @ = lquantize(1, arg0, 10, 1); }
