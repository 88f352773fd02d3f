/*
 * ASSERTION: Clauses may stand before what they use.
 * SECTION: Declarations
 */
BEGIN { x = 1; y.a = LAST; }
enum { FIRST, LAST };
struct pair { int a, b; };
struct pair y;
char x;
inline int size = sizeof (x);
END { trace(size); }
