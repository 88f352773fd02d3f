/*
 * ASSERTION: A bit-field has no address.
 * SECTION: Expressions
 */
struct s { int a : 3; } *s;
BEGIN { trace((long)&s->a); }
