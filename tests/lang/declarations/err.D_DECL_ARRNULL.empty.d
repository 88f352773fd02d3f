/*
 * ASSERTION: An array has a length or keys.
 * SECTION: Types and declarations
 */
int a[];
BEGIN {  }
