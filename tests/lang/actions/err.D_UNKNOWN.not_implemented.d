/*
 * ASSERTION: An action that DTrace has no code for is named in its words.
 * SECTION: Actions and subroutines
 */
BEGIN { chill(1000); }
