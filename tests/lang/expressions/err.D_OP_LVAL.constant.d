/*
 * ASSERTION: What is assigned to is a variable.
 * SECTION: Expressions/Operators
 */
BEGIN { 5 = 3; }
