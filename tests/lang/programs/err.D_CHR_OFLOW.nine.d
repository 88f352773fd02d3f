/*
 * ASSERTION: A character constant has eight characters at most.
 * SECTION: Lexical structure
 */
BEGIN { trace('abcdefghi'); }
