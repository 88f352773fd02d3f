/*
 * ASSERTION: the room for names is not negative.
 * SECTION: Actions and subroutines
 */
BEGIN { ustack(3, -1); }
