/*
 * ASSERTION: usym() takes an address.
 * SECTION: Actions and subroutines
 */
BEGIN { usym("f"); }
