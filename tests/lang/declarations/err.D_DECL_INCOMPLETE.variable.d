/*
 * ASSERTION: A variable needs a whole type.
 * SECTION: Types and declarations
 */
struct unknown x;
BEGIN {  }
