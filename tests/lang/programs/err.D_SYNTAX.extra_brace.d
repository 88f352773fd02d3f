/*
 * ASSERTION: A brace that nothing opened is named.
 * SECTION: Programs
 */
BEGIN { trace(1); } }
