/*
 * ASSERTION: Macro variables are those of the language reference.
 * SECTION: Macros
 */
BEGIN { trace($nosuch); }
