/*
 * ASSERTION: Strings can't be counted up.
 * SECTION: Operators
 */
BEGIN { "a"++; }
