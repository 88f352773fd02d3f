/*
 * ASSERTION: Fewer steps than the factor divide it.
 * SECTION: Aggregations/llquantize
 */
BEGIN { @ = llquantize(1, 10, 0, 3, 7); }
