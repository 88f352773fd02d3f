/*
 * ASSERTION: Type words fit together.
 * SECTION: Types and declarations
 */
char int x;
BEGIN {  }
