/*
 * ASSERTION: A member is no associative array.
 * SECTION: Types and declarations
 */
struct s { int a[int]; };
BEGIN {  }
