/*
 * ASSERTION: strlen() takes a string.
 * SECTION: Actions and subroutines
 */
BEGIN { x = strlen(1); }
