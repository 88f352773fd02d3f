/*
 * ASSERTION: Associative arrays hold words, strings and structures by tuples of keys; what is zero is not there.
 * SECTION: Variables/Associative arrays
 * @@flags: -q
 * @@mask: bpf-pc
 */
struct point { int x, y; };
int64_t m[int, string];
struct point places[string];
int by_place[struct point];
self int mine[int];
short narrow[int];

BEGIN
{
	m[1, "a"] = 5; m[1, "b"]++; m[1, "a"] += 7; m[2, "a"] = 1; m[2, "a"] = 0;
	printf("%d %d %d %d\n", m[1, "a"], m[1, "b"], m[2, "a"], m[3, "c"]);
	printf("%d %d %d\n", m[1, "b"]++, ++m[1, "b"], m[1, "b"]--);
	names["x", probename] = "hello"; names["y", "BEGIN"] = "";
	printf("[%s] %d %d %d\n", names["x", "BEGIN"], names["x", "BEGIN"] == "hello", names["z", ""] == NULL, names["y", "BEGIN"] == NULL);
	narrow[0] = 40000; narrow[1] = narrow[0] - 1;
	printf("%d %d\n", narrow[0], narrow[1]);
	i = 0;
	counts[0] = 4; counts[i++] += 3;
	printf("%d %d\n", i, counts[0]);
}
BEGIN
{
	self->mine[7] = 8; self->mine[7]--; self->other[1, 2] = self->mine[7] * 2;
	printf("%d %d %d\n", self->mine[7], self->other[1, 2], self->mine[8]);
	places["p"].x = 3; places["p"].y = 77;
	here = places["p"];
	printf("%d %d %d\n", here.x, here.y, places["q"].y);
	by_place[here] = 12; here.x = 4; by_place[here] = 13; here.x = 3;
	printf("%d\n", by_place[here]);
	places["p"].x = 0; places["p"].y = 0;
	places["q"] = here;
	places["q"] = places["p"];
	printf("%d %d\n", places["p"].y, places["q"].x);
}
BEGIN
{
	m[m[1, "a"], names["x", "BEGIN"]] = m[1, "a"] + m[1, "b"];
	printf("%d\n", m[12, "hello"]);
}
BEGIN
{
	printf("%s\n", names["never", "stored"]);
}
BEGIN
{
	exit(0);
}
