/*
 * ASSERTION: Nor has one of its elements.
 * SECTION: Aggregations
 */
BEGIN { @a[1] = sum(1); @a[1] += 1; }
