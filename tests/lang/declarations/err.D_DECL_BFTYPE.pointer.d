/*
 * ASSERTION: A bit-field is an integer.
 * SECTION: Types and declarations
 */
struct s { char *a : 3; };
BEGIN {  }
