/*
 * ASSERTION: llquantize() has at least one step.
 * SECTION: Aggregations/llquantize
 */
BEGIN { @ = llquantize(1, 10, 0, 3, 0); }
