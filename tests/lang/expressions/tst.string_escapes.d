/*
 * ASSERTION: All escape sequences of C are accepted in strings and characters, and unknown ones stand for their character.
 * SECTION: Lexical structure
 */
BEGIN { printf("\a\b\f\n\r\t\v\\\"\x41\101\q\0"); x = '\''; y = 'ab'; }
