/*
 * ASSERTION: An action that is not compiled yet is named.
 * SECTION: Actions and subroutines
 */
BEGIN { stack(); }
