/*
 * ASSERTION: copyinstr() takes at least an address.
 * SECTION: Actions and subroutines
 */
BEGIN { x = copyinstr(); }
