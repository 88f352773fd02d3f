/*
 * ASSERTION: normalize() looks for its aggregation first.
 * SECTION: Aggregations
 */
BEGIN { normalize(@a); @a = count(); }
