/*
 * ASSERTION: An operand that is referenced is there.
 * SECTION: Macros
 */
BEGIN { trace($1); }
