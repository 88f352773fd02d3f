/*
 * ASSERTION: A clause without its closing brace is a syntax error at the end.
 * SECTION: Programs
 */
BEGIN { x = 1;
