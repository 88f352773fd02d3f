/*
 * ASSERTION: exit() takes an integer.
 * SECTION: Actions and subroutines
 */
BEGIN { exit("a"); }
