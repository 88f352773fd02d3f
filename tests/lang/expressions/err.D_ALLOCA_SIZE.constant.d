/*
 * ASSERTION: A firing has so much memory and no more.
 * SECTION: Expressions
 */
BEGIN { alloca(5000); }
