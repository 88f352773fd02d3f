/*
 * ASSERTION: sum() takes one value.
 * SECTION: Aggregations
 */
BEGIN { @a = sum(); }
