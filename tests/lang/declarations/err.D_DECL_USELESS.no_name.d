/*
 * ASSERTION: A declaration declares something.
 * SECTION: Types and declarations
 */
int;
BEGIN {  }
