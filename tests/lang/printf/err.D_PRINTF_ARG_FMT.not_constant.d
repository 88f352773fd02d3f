/*
 * ASSERTION: A format is a constant.
 * SECTION: printf
 */
BEGIN { printf(execname); }
