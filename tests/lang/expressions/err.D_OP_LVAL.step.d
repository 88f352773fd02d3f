/*
 * ASSERTION: What is incremented is a variable.
 * SECTION: Expressions/Operators
 */
BEGIN { (x + 1)++; }
