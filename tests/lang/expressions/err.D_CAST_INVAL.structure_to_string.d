/*
 * ASSERTION: A structure is not cast to a string.
 * SECTION: Casts
 */
struct s { int a; } v;
BEGIN { trace((string)v); }
