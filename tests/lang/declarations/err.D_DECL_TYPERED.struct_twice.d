/*
 * ASSERTION: A structure is defined once.
 * SECTION: Types and declarations
 */
struct s { int a; };
struct s { int b; };
BEGIN {  }
