/*
 * ASSERTION: The step of lquantize() has 16 bits.
 * SECTION: Aggregations/lquantize
 */
BEGIN { @ = lquantize(1, 0, 100000, 65536); }
