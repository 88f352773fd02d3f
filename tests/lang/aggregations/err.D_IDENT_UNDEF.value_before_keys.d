/*
 * ASSERTION: What is aggregated is looked at before the keys.
 * SECTION: Aggregations
 */
BEGIN { @[key] = sum(value); }
