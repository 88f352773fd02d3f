/*
 * ASSERTION: A comma puts no two aggregations into a statement.
 * SECTION: Aggregations
 */
BEGIN { @a = count(), @b = count(); }
