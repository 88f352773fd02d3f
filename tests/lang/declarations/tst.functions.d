/*
 * ASSERTION: Functions and what belongs to no kind of variable may be announced; tags of structures and unions are apart.
 * SECTION: Declarations
 */
extern int f(void);
extern int *g(int, char *, ...);
extern int (*h)(void);
int k(int x);
extern l;
struct same { int x; };
union same { int y; };
BEGIN { trace($target); exit(0); }
