/*
 * ASSERTION: A variable is an associative array or is not.
 * SECTION: Types and declarations
 */
int a[int];
int a;
BEGIN {  }
