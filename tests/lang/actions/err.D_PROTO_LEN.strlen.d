/*
 * ASSERTION: strlen() takes one string.
 * SECTION: Actions and subroutines
 */
BEGIN { x = strlen("a", "b"); }
