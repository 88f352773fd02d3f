/*
 * ASSERTION: A name is an inline once.
 * SECTION: Types and declarations
 */
inline int a = 1;
inline int a = 2;
BEGIN {  }
