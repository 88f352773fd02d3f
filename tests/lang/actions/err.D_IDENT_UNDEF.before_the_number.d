/*
 * ASSERTION: Arguments are looked at before they are counted.
 * SECTION: Actions
 */
BEGIN { exit(nosuch, 2); }
