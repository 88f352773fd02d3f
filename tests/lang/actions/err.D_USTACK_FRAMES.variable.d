/*
 * ASSERTION: the number of frames is a constant, in a key as well.
 * SECTION: Actions and subroutines
 */
BEGIN { @[ustack(pid)] = count(); }
