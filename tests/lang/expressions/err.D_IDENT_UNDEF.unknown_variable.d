/*
 * ASSERTION: A variable that was never assigned is an error.
 * SECTION: Variables
 */
BEGIN { trace(nosuch); }
