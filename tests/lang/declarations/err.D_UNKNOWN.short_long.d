/*
 * ASSERTION: No type is both short and long.
 * SECTION: Types/Integers
 */
short long x;
