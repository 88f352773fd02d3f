/*
 * ASSERTION: count() takes nothing.
 * SECTION: Aggregations
 */
BEGIN { @a = count(1); }
