/*
 * ASSERTION: An enumerator is an int.
 * SECTION: Types and declarations
 */
enum { A = 0x7fffffff, B };
BEGIN {  }
