/*
 * ASSERTION: The lower bound of lquantize() is less than its upper bound.
 * SECTION: Aggregations/lquantize
 */
BEGIN { @a = lquantize(1, 10, 0, 1); }
