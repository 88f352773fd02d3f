/*
 * ASSERTION: An aggregation is not assigned what another one is.
 * SECTION: Aggregations
 */
BEGIN { @a = @b = count(); }
