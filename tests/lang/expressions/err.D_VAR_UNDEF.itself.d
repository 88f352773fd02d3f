/*
 * ASSERTION: A variable is not known before its first assignment is complete.
 * SECTION: Variables
 */
BEGIN { x = x; }
