/*
 * ASSERTION: No parameter is an associative array.
 * SECTION: Declarations
 */
int f(int x[int]);
