/*
 * ASSERTION: lquantize() has at most 65535 levels.
 * SECTION: Aggregations/lquantize
 */
BEGIN { @ = lquantize(1, 0, 65536, 1); }
