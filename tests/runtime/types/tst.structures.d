/*
 * ASSERTION: Structures, unions, bit-fields and arrays have gcc's layout, are read and written by member, and assigned whole.
 * SECTION: Values/Structures
 * @@flags: -q
 * @@mask: bpf-pc
 */
struct point
{
	int x, y;
	char tag;
	struct { short a, b; } in;
	unsigned f1 : 3;
	int f2 : 5;
	char name[6];
};
union word { int whole; unsigned char bytes[4]; };
enum color { RED, GREEN = 5, BLUE };
typedef struct point point_t;
point_t g, row[4];
self struct point own;
this union word w;
int grid[3][4];
inline int corner = grid[1][2];
inline int twice = grid[2][3] * 2;

BEGIN
{
	printf("%d %d %d\n", sizeof (point_t), offsetof(struct point, in), offsetof(point_t, name));
	printf("%d %d %d %d\n", RED, BLUE, sizeof (enum color), sizeof (grid));
	g.x = 3; g.y = -4; g.tag = 'q'; g.f1 = 9; g.f2 = -3; g.in.b = 7; g.name[0] = 'o'; g.name[1] = 'k';
	printf("%d %d %c %d %d %d [%s] %d\n", g.x, g.y, g.tag, g.f1, g.f2, g.in.b, g.name, g.name == "ok");
	g.f2 += 18; g.f1--; g.x <<= 2; g.in.a = g.in.b++;
	printf("%d %d %d %d %d\n", g.f2, g.f1, g.x, g.in.a, g.in.b);
	row[2] = g;
	i = 2;
	row[i].x++;
	printf("%d %d %d\n", row[2].x, row[i - 1].x, g.x);
	row[0] = i > 2 ? row[1] : row[2];
	printf("%d %d\n", row[0].x, (i > 2 ? row[1] : row[2]).y);
	corner = 5;
	grid[2][i + 1] = grid[1][2] + 1;
	printf("%d %d %d\n", grid[1][2], twice, grid[0][3]);
}
BEGIN
{
	this->w.whole = 0x01020304;
	printf("%d %d\n", this->w.bytes[0], this->w.bytes[3]);
	this->w.bytes[1] = 0;
	printf("%x\n", this->w.whole);
}
BEGIN
{
	self->own.x = 4;
	self->own = g;
	self->own.tag = 0;
	printf("%d %d\n", self->own.x, self->own.tag);
	self->own = row[3];
	printf("%d\n", self->own.x);
}
BEGIN
{
	i = 3;
	printf("%d\n", grid[i][0]);
}
BEGIN
{
	exit(0);
}
