/*
 * ASSERTION: A format does not end in a percent sign.
 * SECTION: printf
 */
BEGIN { printf("100%"); }
