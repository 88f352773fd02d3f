/*
 * ASSERTION: Associative arrays are named as not supported.
 * SECTION: Types and declarations
 */
int x[int];
BEGIN {  }
