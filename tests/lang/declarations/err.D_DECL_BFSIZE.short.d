/*
 * ASSERTION: A bit-field fits its type.
 * SECTION: Types and declarations
 */
struct s { short a : 17; };
BEGIN {  }
