/*
 * ASSERTION: A key has a value.
 * SECTION: Aggregations/Keys
 */
BEGIN { @a[(void)1] = count(); }
