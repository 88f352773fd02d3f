/*
 * ASSERTION: What stands where a parenthesis is missing is named.
 * SECTION: Programs
 */
BEGIN { trace((1; }
