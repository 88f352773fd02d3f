/*
 * ASSERTION: long is of integers.
 * SECTION: Types/Structures
 */
long struct a { int x; };
