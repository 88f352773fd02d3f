/*
 * ASSERTION: A member has a name.
 * SECTION: Types and declarations
 */
struct s { int; };
BEGIN {  }
