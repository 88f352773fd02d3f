/*
 * ASSERTION: The length of an array fits 32 bits.
 * SECTION: Types and declarations
 */
char a[0x100000000];
BEGIN {  }
