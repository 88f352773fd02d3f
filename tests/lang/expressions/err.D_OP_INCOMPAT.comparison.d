/*
 * ASSERTION: A string is not compared with a number.
 * SECTION: Expressions/Operators
 */
BEGIN { x = execname == 5; }
