/*
 * ASSERTION: A bit-field has no size in bytes.
 * SECTION: Expressions
 */
struct s { int a : 3; } s;
BEGIN { trace(sizeof (s.a)); }
