/*
 * ASSERTION: A sum has no address.
 * SECTION: Expressions
 */
BEGIN { trace((long)&(1 + pid)); }
