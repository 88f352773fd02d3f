/*
 * ASSERTION: A constant that begins with 0 is octal.
 * SECTION: Lexical structure
 */
BEGIN { x = 089; }
