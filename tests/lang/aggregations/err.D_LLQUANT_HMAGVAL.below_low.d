/*
 * ASSERTION: The high magnitude is at least the low one.
 * SECTION: Aggregations/llquantize
 */
BEGIN { @ = llquantize(1, 10, 3, 2, 10); }
