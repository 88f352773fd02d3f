/*
 * ASSERTION: There are pointers to parts of variables only.
 * SECTION: Values/Pointers
 */
int a[4];
BEGIN { p = &a[1]; q = &a; }
