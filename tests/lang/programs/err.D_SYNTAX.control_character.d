/*
 * ASSERTION: A control character is shown so that it cannot drive a terminal.
 * SECTION: Lexical structure
 */
BEGIN { trace([31m1); }
