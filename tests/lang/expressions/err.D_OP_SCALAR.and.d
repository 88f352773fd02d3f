/*
 * ASSERTION: && takes scalars.
 * SECTION: Expressions/Operators
 */
BEGIN { x = execname && 1; }
