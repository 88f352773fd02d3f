/*
 * ASSERTION: $target is the process of -p or -c.
 * SECTION: Macros
 */
BEGIN { trace($target); }
