/*
 * ASSERTION: A parameter has no storage class.
 * SECTION: Declarations
 */
int f(static int x);
