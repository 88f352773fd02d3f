/*
 * ASSERTION: The high magnitude of llquantize() is a constant.
 * SECTION: Aggregations/llquantize
 */
BEGIN { @ = llquantize(1, 10, 0, arg0, 10); }
