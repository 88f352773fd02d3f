/*
 * ASSERTION: Types are declared as in C: nested, self-referring, through typedefs and pointers to functions.
 * SECTION: Types and declarations
 */
typedef struct node { struct node *next; union { int i; char c[4]; }; int (*compare)(const void *, const void *); } node_t;
typedef int (*handler_t)(int signal, char *name), *counter_t;
struct later;
struct holder { struct later *p; handler_t on; const volatile char *const name; int table[2][3]; enum { ON, OFF } state; };
struct later { struct holder h; unsigned long long flags : 40, : 0, rest : 3; };
self struct later mine; this node_t *here; self other; node_t nodes[3]; int there;
string words[int, struct later *]; long double precise; _Bool yes; counter_t hits;
inline int last = sizeof (nodes) / sizeof (nodes[0]) - 1;
inline string greeting = "hi";
BEGIN
{
	this->here = (node_t *)alloca(sizeof (node_t));
	this->here->next = this->here;
	this->here->next->next->i = ON + OFF + last;
	words[1, (struct later *)NULL] = greeting;
	nodes[last].c[2] = 'x';
	self->mine.h.table[1][2]++;
	yes = self->mine.h.state == OFF ^^ there;
	self->other = this->here != NULL && this->here->compare == NULL ? sizeof (struct later) : offsetof(node_t, c);
}
