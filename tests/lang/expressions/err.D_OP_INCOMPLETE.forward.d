/*
 * ASSERTION: A structure has members once it is defined.
 * SECTION: Expressions
 */
struct s *p;
BEGIN { trace(p->a); }
