/*
 * ASSERTION: A type is named by int once.
 * SECTION: Declarations
 */
unsigned int int x;
BEGIN { exit(0); }
