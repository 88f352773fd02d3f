/*
 * ASSERTION: A stack is printed by %k alone.
 * SECTION: printf
 */
BEGIN { printf("%d", ustack()); }
