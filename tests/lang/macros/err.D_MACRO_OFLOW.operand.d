/*
 * ASSERTION: An operand that is a number has 64 bits.
 * SECTION: Macros
 * @@args: 99999999999999999999
 */
BEGIN { trace($1); }
