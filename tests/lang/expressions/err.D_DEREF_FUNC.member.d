/*
 * ASSERTION: A function is not read.
 * SECTION: Expressions
 */
struct s { int (*f)(int); } *s;
BEGIN { trace(*s->f); }
