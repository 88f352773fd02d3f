/*
 * ASSERTION: printf() takes no aggregation.
 * SECTION: printf
 */
BEGIN { @a = count(); printf("%d %d", 1, @a); }
