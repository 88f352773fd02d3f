/*
 * ASSERTION: A structure is not cast.
 * SECTION: Expressions
 */
struct s { int a; } s;
BEGIN { trace((int)s); }
