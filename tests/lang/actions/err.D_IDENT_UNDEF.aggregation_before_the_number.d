/*
 * ASSERTION: So are aggregations.
 * SECTION: Actions
 */
BEGIN { trace(rand(@nosuch)); }
