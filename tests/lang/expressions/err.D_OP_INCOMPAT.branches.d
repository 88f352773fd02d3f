/*
 * ASSERTION: Both sides of ?: have one type.
 * SECTION: Expressions/Operators
 */
BEGIN { x = arg0 ? 1 : "a"; }
