/*
 * ASSERTION: All uses of an aggregation have the same number of keys.
 * SECTION: Aggregations/Keys
 */
BEGIN { @a[1] = count(); @a[1, 2] = count(); }
