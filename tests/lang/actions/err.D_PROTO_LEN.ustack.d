/*
 * ASSERTION: ustack() takes two arguments at most, in a key as well.
 * SECTION: Actions and subroutines
 */
BEGIN { @[1, ustack(1, 2, 3)] = count(); }
