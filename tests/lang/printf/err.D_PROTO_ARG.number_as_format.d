/*
 * ASSERTION: The format of printf() is a string.
 * SECTION: printf
 */
BEGIN { printf(123); }
