/*
 * ASSERTION: There is no type longer than long long.
 * SECTION: Declarations
 */
long long long x;
BEGIN { exit(0); }
