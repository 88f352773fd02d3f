/*
 * ASSERTION: The pid provider has no typed arguments.
 * SECTION: Expressions
 */
dtrace:::BEGIN { trace(args[0]); }
