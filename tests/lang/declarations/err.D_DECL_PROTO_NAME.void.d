/*
 * ASSERTION: No parameter, no name.
 * SECTION: Declarations
 */
int f(void x);
