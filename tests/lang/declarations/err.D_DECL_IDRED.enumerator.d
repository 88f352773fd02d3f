/*
 * ASSERTION: An enumerator has a name of its own.
 * SECTION: Types and declarations
 */
int A;
enum { A };
BEGIN {  }
