/*
 * ASSERTION: stringof takes a string or an address.
 * SECTION: Expressions/Operators
 */
BEGIN { x = stringof((void)1); }
