/*
 * ASSERTION: A variable has a value.
 * SECTION: Types and declarations
 */
void x;
BEGIN {  }
