/*
 * ASSERTION: Built-in variables are not assigned to.
 * SECTION: Expressions/Operators
 */
BEGIN { pid = 3; }
