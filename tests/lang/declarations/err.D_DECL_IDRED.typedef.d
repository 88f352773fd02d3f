/*
 * ASSERTION: The name of a variable is not that of a type.
 * SECTION: Types and declarations
 */
int u;
typedef long u;
BEGIN {  }
