/*
 * ASSERTION: A dot follows a structure.
 * SECTION: Expressions
 */
struct s { int a; } *s;
BEGIN { trace(s.a); }
