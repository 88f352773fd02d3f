/*
 * ASSERTION: The factor of llquantize() is a constant.
 * SECTION: Aggregations/llquantize
 */
BEGIN { @ = llquantize(1, arg0, 0, 3, 10); }
