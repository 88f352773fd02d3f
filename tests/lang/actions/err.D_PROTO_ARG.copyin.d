/*
 * ASSERTION: copyin() takes an address.
 * SECTION: Actions and subroutines
 */
BEGIN { x = copyin("a", 1); }
