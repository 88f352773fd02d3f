/*
 * ASSERTION: The comma is an operator where no list is meant.
 * SECTION: Expressions/Operators
 */
BEGIN { x = (1, 2); y = (x++, "text"); }
