/*
 * ASSERTION: A member has a value.
 * SECTION: Types and declarations
 */
struct s { void a; };
BEGIN {  }
