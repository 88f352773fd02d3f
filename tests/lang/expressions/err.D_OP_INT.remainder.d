/*
 * ASSERTION: % takes integers.
 * SECTION: Expressions/Operators
 */
BEGIN { x = "text" % 2; }
