/*
 * ASSERTION: A description in a script has a body.
 * SECTION: Programs
 */
BEGIN
