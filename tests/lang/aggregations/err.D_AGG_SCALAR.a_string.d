/*
 * ASSERTION: What is aggregated is an integer.
 * SECTION: Aggregations
 */
BEGIN { @a = sum("text"); }
