/*
 * ASSERTION: exit() takes a status.
 * SECTION: Actions and subroutines
 */
BEGIN { exit(); }
