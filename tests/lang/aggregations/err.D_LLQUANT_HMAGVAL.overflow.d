/*
 * ASSERTION: The largest bound of llquantize() has 64 bits.
 * SECTION: Aggregations/llquantize
 */
BEGIN { @ = llquantize(1, 10, 0, 20, 10); }
