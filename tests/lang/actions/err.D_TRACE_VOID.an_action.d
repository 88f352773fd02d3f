/*
 * ASSERTION: trace() takes no action.
 * SECTION: Actions and subroutines/trace
 */
BEGIN { trace(exit(1)); }
