/*
 * ASSERTION: An aggregation is no key of another.
 * SECTION: Aggregations
 */
BEGIN { @a = count(); @[@a] = count(); }
