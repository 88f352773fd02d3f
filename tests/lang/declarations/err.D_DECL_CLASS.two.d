/*
 * ASSERTION: A variable has one storage class.
 * SECTION: Declarations
 */
self this int x;
