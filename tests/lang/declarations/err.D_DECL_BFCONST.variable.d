/*
 * ASSERTION: The width of a bit-field is a constant.
 * SECTION: Types and declarations
 */
int n;
struct s { int a : n; };
BEGIN {  }
