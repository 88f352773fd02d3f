/*
 * ASSERTION: printa() prints aggregations that the program has.
 * SECTION: printa
 */
BEGIN { printa(@nosuch); }
