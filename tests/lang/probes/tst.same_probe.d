/*
 * ASSERTION: Several clauses are for one probe.
 * SECTION: Probe descriptions
 */
BEGIN { x = 1; }
BEGIN /x/ { y = x; }
