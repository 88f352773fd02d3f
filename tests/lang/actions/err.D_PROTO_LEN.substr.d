/*
 * ASSERTION: substr() takes two or three arguments.
 * SECTION: Subroutines/substr
 */
BEGIN { trace(substr("a")); }
