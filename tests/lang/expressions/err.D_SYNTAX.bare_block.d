/*
 * ASSERTION: A block stands behind if and else alone.
 * SECTION: Statements
 */
BEGIN { trace(1); { trace(2); } }
