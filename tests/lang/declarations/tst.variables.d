/*
 * ASSERTION: Variables of all scopes are declared with and without types.
 * SECTION: Types and declarations
 */
int a, b; unsigned long long c; string s; pid_t p; size_t n;
self int t; self string u; self v;
this char w; this x; const volatile int q;
typedef unsigned int word; word z; word *pz;
inline int ten = 10; inline string name = "x";
BEGIN { a = ten + z; self->v = this->x; s = name; q = 1; trace(sizeof(word)); }
