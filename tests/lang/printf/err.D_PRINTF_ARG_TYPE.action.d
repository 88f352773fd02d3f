/*
 * ASSERTION: printf() takes no action.
 * SECTION: printf
 */
BEGIN { printf("%s", trace(1)); }
