/*
 * ASSERTION: Nothing is subtracted from a string.
 * SECTION: Expressions/Operators
 */
BEGIN { x = "a" - 1; }
