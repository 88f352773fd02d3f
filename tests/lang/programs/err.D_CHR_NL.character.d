/*
 * ASSERTION: A character constant ends on its line.
 * SECTION: Lexical structure
 */
BEGIN { trace('a
'); }
