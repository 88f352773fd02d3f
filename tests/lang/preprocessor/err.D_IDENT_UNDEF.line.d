/*
 * ASSERTION: #line names the place that messages tell.
 * SECTION: Lexical structure
 */
#line 100 "made.from"
BEGIN { trace(nothing); }
