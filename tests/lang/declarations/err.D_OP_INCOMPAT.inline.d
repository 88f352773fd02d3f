/*
 * ASSERTION: An inline has a value of its type.
 * SECTION: Types and declarations
 */
inline string x = 1;
BEGIN {  }
