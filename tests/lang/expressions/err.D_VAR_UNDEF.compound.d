/*
 * ASSERTION: x++ makes a variable, x += 1 needs one.
 * SECTION: Expressions/Assignment
 */
BEGIN { x++; }
BEGIN { y += 1; }
