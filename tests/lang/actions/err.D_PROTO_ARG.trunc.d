/*
 * ASSERTION: The number of trunc() is one.
 * SECTION: Actions and subroutines/trunc
 */
BEGIN { @a = count(); trunc(@a, "two"); }
