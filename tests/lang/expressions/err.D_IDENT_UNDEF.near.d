/*
 * ASSERTION: A name that is nearly that of a variable is a likely mistake.
 * SECTION: Variables
 */
BEGIN { trace(probfunc); }
