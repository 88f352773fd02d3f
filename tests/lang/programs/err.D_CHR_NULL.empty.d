/*
 * ASSERTION: A character constant is not empty.
 * SECTION: Lexical structure
 */
BEGIN { trace(''); }
