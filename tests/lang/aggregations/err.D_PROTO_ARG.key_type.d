/*
 * ASSERTION: A key that is an integer once is never a string.
 * SECTION: Aggregations/Keys
 */
BEGIN { @a[1] = count(); @a["x"] = count(); }
