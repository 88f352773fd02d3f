/*
 * ASSERTION: An associative array has one type of keys.
 * SECTION: Types and declarations
 */
int a[int];
int a[string];
BEGIN {  }
