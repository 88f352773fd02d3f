/*
 * ASSERTION: The keys of an array are counted.
 * SECTION: Declarations/Associative arrays
 */
int a[...];
