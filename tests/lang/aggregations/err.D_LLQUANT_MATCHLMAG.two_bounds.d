/*
 * ASSERTION: All uses of one aggregation have the same low magnitude.
 * SECTION: Aggregations/llquantize
 */
BEGIN { @ = llquantize(1, 10, 0, 3, 10); @ = llquantize(1, 10, 1, 3, 10); }
