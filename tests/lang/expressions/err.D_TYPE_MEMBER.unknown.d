/*
 * ASSERTION: A member is one of the structure.
 * SECTION: Expressions
 */
struct s { int a; } s;
BEGIN { trace(s.b); }
