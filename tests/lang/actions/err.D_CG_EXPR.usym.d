/*
 * ASSERTION: a symbol is an action or a key, no value of an expression.
 * SECTION: Actions and subroutines
 */
BEGIN { x = usym(arg0); }
