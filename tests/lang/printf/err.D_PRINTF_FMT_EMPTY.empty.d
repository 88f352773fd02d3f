/*
 * ASSERTION: A format is not empty.
 * SECTION: printf
 */
BEGIN { printf(""); }
