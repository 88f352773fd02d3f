/*
 * ASSERTION: -> leads to a structure.
 * SECTION: Expressions
 */
int *s;
BEGIN { trace(s->a); }
