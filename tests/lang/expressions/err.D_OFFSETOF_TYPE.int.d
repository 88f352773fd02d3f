/*
 * ASSERTION: offsetof wants a structure.
 * SECTION: Expressions
 */
BEGIN { trace(offsetof(int, a)); }
