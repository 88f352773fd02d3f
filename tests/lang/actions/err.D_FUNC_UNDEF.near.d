/*
 * ASSERTION: A function that is nearly one of D is a likely mistake.
 * SECTION: Actions and subroutines
 */
BEGIN { x = strlne("a"); }
