/*
 * ASSERTION: The increment of quantize() is an integer.
 * SECTION: Aggregations/quantize
 */
BEGIN { @ = quantize(1, "x"); }
