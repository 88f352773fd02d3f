/*
 * ASSERTION: void has no size.
 * SECTION: Expressions/Operators
 */
BEGIN { x = sizeof(void); }
