/*
 * ASSERTION: A variable is not called.
 * SECTION: Actions and subroutines
 */
BEGIN { x = pid(1); }
