/*
 * ASSERTION: An array makes no variable, not as a pointer either.
 * SECTION: Values/Pointers
 */
int a[4];
int *p;
BEGIN { p = a; q = a; }
