/*
 * ASSERTION: The low magnitude of llquantize() is not negative.
 * SECTION: Aggregations/llquantize
 */
BEGIN { @ = llquantize(1, 10, -1, 3, 10); }
