/*
 * ASSERTION: The length of an array is positive.
 * SECTION: Types and declarations
 */
int a[0];
BEGIN {  }
