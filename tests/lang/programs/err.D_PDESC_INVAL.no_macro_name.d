/*
 * ASSERTION: A $ in a description begins the name of a macro variable.
 * SECTION: Probe descriptions
 */
BEGIN, tick-$ { }
