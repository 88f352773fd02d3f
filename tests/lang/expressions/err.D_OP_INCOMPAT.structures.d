/*
 * ASSERTION: Structures are assigned to their like.
 * SECTION: Expressions
 */
struct a { int x; } a;
struct b { int x; } b;
BEGIN { a = b; }
