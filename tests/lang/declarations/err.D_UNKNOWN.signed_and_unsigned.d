/*
 * ASSERTION: A type has a sign or none.
 * SECTION: Declarations
 */
signed unsigned x;
BEGIN { exit(0); }
