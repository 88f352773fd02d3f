/*
 * ASSERTION: An aggregating function has no value.
 * SECTION: Operators
 */
BEGIN { x = count(); }
