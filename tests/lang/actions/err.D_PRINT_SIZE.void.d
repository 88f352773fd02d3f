/*
 * ASSERTION: print() wants a pointer to something.
 * SECTION: Actions
 */
BEGIN { print(alloca(4)); }
