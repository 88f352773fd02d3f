/*
 * ASSERTION: The name of an action is no variable.
 * SECTION: Variables
 */
BEGIN { x = printf; }
