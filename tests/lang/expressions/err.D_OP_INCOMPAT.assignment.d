/*
 * ASSERTION: A variable keeps the type of its first assignment.
 * SECTION: Expressions/Operators
 */
BEGIN { x = 1; x = "a"; }
