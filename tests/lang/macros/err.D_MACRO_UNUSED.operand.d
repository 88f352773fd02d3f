/*
 * ASSERTION: The last operand is referenced.
 * SECTION: Macros
 * @@args: 1 2
 */
BEGIN { trace($1); }
