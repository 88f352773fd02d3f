/*
 * ASSERTION: unsigned is of integers.
 * SECTION: Types/Structures
 */
unsigned struct a { int x; };
