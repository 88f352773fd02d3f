/*
 * ASSERTION: Structures are named as not supported.
 * SECTION: Types and declarations
 */
struct s { int a; };
BEGIN {  }
