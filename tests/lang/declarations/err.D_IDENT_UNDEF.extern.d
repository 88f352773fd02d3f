/*
 * ASSERTION: extern declares nothing.
 * SECTION: Programs/Declarations
 */
extern int a[], x;
BEGIN { a[0] = 1; x = 300; }
extern int y;
BEGIN { trace(y); }
