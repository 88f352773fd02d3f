/*
 * ASSERTION: The upper bound of lquantize() has 32 bits.
 * SECTION: Aggregations/lquantize
 */
BEGIN { @ = lquantize(1, 0, 2147483648, 1); }
