/*
 * ASSERTION: A char is neither short nor long.
 * SECTION: Types and declarations
 */
long char x;
BEGIN {  }
