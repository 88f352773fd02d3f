/*
 * ASSERTION: A member is one of the structure.
 * SECTION: Expressions
 */
struct s { int a; };
BEGIN { trace(offsetof(struct s, b)); }
