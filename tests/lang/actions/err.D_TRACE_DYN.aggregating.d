/*
 * ASSERTION: trace() takes no aggregating function.
 * SECTION: Actions and subroutines/trace
 */
BEGIN { trace(count()); }
