/*
 * ASSERTION: A decimal constant without u is signed.
 * SECTION: Lexical structure
 */
BEGIN { x = 18446744073709551615; }
