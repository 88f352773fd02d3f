/*
 * ASSERTION: An enumerator without a value follows the one before it, around the end of int.
 * SECTION: Types and declarations
 */
enum { A = 0x7fffffff, B };
BEGIN { x = B; }
