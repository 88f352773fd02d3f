/*
 * ASSERTION: Keys are separated by commas, not by brackets.
 * SECTION: Aggregations
 */
BEGIN { @a[1][2] = count(); }
