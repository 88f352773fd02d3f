/*
 * ASSERTION: An associative array has one number of keys.
 * SECTION: Types and declarations
 */
int a[int];
int a[int, int];
BEGIN {  }
