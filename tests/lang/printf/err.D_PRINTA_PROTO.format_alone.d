/*
 * ASSERTION: printa() with a format needs an aggregation.
 * SECTION: printa
 */
BEGIN { printa("%d"); }
