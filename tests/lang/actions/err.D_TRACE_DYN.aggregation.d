/*
 * ASSERTION: trace() takes no aggregation.
 * SECTION: Actions and subroutines/trace
 */
BEGIN { @a = count(); trace(@a); }
