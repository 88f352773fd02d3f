/*
 * ASSERTION: void is the only parameter.
 * SECTION: Declarations
 */
int f(int, void);
