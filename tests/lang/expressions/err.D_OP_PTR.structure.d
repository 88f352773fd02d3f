/*
 * ASSERTION: -> follows a pointer.
 * SECTION: Expressions
 */
struct s { int a; } s;
BEGIN { trace(s->a); }
