/*
 * ASSERTION: a stack of no frames is an error.
 * SECTION: Actions and subroutines
 */
BEGIN { ustack(0); }
