/*
 * ASSERTION: bcopy() reads from an array of a variable and writes to none.
 * SECTION: Subroutines/bcopy
 */
int a[4];
BEGIN { bcopy(a, alloca(16), 16); bcopy(alloca(16), a, 16); }
