/*
 * ASSERTION: A string is not cast to an integer.
 * SECTION: Expressions/Operators
 */
BEGIN { x = (int)execname; }
