/*
 * ASSERTION: A character constant has at most eight characters.
 * SECTION: Lexical structure
 */
BEGIN { trace('123456789'); }
