/*
 * ASSERTION: The name of an aggregating function is no variable.
 * SECTION: Variables
 */
BEGIN { x = count; }
