/*
 * ASSERTION: trace() takes a value.
 * SECTION: Actions and subroutines/trace
 */
BEGIN { trace((void)1); }
