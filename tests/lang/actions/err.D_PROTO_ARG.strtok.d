/*
 * ASSERTION: NULL is a text to go on with for strtok() alone, and no set of delimiters.
 * SECTION: Subroutines/strtok
 */
BEGIN { trace(strtok("a b", NULL)); }
