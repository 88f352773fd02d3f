/*
 * ASSERTION: A variable of the program is no function.
 * SECTION: Actions and subroutines
 */
BEGIN { x = 1; x(1); }
