/*
 * ASSERTION: Strings are not joined; the whole string is shown.
 * SECTION: Constants
 */
BEGIN { trace("a" "b"); }
