/*
 * ASSERTION: A key has a value.
 * SECTION: Expressions
 */
BEGIN { a[bcopy(copyin(0, 4), alloca(4), 4)] = 1; }
