/*
 * ASSERTION: There are no arrays of associative arrays.
 * SECTION: Types and declarations
 */
int a[3][int];
BEGIN {  }
