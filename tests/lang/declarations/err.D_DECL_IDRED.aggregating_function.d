/*
 * ASSERTION: The name of an aggregating function is taken.
 * SECTION: Variables
 */
int count;
BEGIN { }
