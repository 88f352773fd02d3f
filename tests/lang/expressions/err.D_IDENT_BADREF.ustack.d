/*
 * ASSERTION: ustack is a function.
 * SECTION: Actions
 */
BEGIN { x = ustack; }
