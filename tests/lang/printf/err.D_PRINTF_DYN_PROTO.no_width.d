/*
 * ASSERTION: * takes a width from the arguments.
 * SECTION: printf
 */
BEGIN { printf("%*d"); }
