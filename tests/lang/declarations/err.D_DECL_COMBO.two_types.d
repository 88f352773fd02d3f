/*
 * ASSERTION: Type words fit together.
 * SECTION: Types and declarations
 */
short long x;
BEGIN {  }
