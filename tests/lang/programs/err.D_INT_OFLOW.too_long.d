/*
 * ASSERTION: An integer has 64 bits.
 * SECTION: Lexical structure
 */
BEGIN { x = 99999999999999999999; }
