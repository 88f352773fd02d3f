/*
 * ASSERTION: An action gives nothing that could be a key.
 * SECTION: Actions and subroutines
 */
BEGIN { a[trace(1)] = 1; }
