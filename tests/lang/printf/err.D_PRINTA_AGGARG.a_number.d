/*
 * ASSERTION: printa() prints aggregations.
 * SECTION: printa
 */
BEGIN { printa("%d", 1); }
