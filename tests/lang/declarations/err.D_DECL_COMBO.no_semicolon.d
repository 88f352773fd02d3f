/*
 * ASSERTION: A declaration ends in a semicolon.
 * SECTION: Types/Structures
 */
struct a { int x; }

struct b { int y; };
