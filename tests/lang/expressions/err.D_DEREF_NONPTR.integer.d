/*
 * ASSERTION: * takes a pointer.
 * SECTION: Expressions/Operators
 */
BEGIN { x = *arg0; }
