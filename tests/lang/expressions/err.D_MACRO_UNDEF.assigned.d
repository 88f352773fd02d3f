/*
 * ASSERTION: A macro that is not there is noticed before it is assigned to.
 * SECTION: Macros
 */
BEGIN { $x = 1; }
