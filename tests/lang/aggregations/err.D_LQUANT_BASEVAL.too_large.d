/*
 * ASSERTION: The lower bound of lquantize() has 32 bits.
 * SECTION: Aggregations/lquantize
 */
BEGIN { @ = lquantize(1, -2147483649, 10, 1); }
