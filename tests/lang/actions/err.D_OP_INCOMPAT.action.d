/*
 * ASSERTION: An action gives nothing that could be assigned.
 * SECTION: Actions and subroutines
 */
int x; BEGIN { x = trace(1); }
