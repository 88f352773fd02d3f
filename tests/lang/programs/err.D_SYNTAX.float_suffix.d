/*
 * ASSERTION: A suffix f makes a floating-point constant.
 * SECTION: Lexical structure
 */
BEGIN { trace(1f); }
