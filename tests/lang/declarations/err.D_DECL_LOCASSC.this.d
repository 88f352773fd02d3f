/*
 * ASSERTION: A clause-local variable is no associative array.
 * SECTION: Types and declarations
 */
this int a[int];
BEGIN {  }
