/*
 * ASSERTION: An enumerator is a constant.
 * SECTION: Types and declarations
 */
enum { A = pid };
BEGIN {  }
