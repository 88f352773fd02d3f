/*
 * ASSERTION: Arguments are taken in their order.
 * SECTION: printf
 */
BEGIN { printf("%1$d", 1); }
