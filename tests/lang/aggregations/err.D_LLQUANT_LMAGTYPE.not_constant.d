/*
 * ASSERTION: The low magnitude of llquantize() is a constant.
 * SECTION: Aggregations/llquantize
 */
BEGIN { @ = llquantize(1, 10, arg0, 3, 10); }
