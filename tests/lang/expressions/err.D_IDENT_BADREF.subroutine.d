/*
 * ASSERTION: The name of a subroutine is no variable.
 * SECTION: Variables
 */
BEGIN { x = strlen + 1; }
