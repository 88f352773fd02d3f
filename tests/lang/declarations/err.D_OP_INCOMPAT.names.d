/*
 * ASSERTION: Types are shown by the names that DTrace gives them.
 * SECTION: Values/Integers
 */
unsigned a;
unsigned int a2;
signed b;
long signed int c;
struct { signed short int *d; } s;
BEGIN { a2 = a; a = b; b = c; s.d = (signed *)0; }
