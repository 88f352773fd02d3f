/*
 * ASSERTION: A bit-field has no offset in bytes.
 * SECTION: Expressions
 */
struct s { int a : 3; };
BEGIN { trace(offsetof(struct s, a)); }
