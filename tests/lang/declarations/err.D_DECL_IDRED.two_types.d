/*
 * ASSERTION: A variable has one type.
 * SECTION: Types and declarations
 */
int x;
string x;
BEGIN {  }
