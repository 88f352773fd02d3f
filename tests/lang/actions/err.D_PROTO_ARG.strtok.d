/*
 * ASSERTION: A number other than 0 is no set of delimiters for strtok().
 * SECTION: Subroutines/strtok
 */
BEGIN { trace(strtok("a b", 1)); }
