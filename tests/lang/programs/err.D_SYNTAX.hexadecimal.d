/*
 * ASSERTION: A constant ends at the first character that it can't have.
 * SECTION: Lexical structure
 */
BEGIN { trace(0xg); }
