/*
 * ASSERTION: NULL is below every string and equal to itself; only a variable that could be missing faults when printed.
 * SECTION: Values/Strings
 * @@flags: -q
 * @@mask: bpf-pc
 */
string s; self string own;

BEGIN
{
	printf("%d %d %d %d\n", s == NULL, s == "", self->own == NULL, "" < s);
	s = NULL;
	printf("[%s] %d %d %d %d %d\n", s, s == NULL, s < "", s > "", s == "", strlen(s));
	other = s;
	s = "text";
	printf("%d [%s] %c%c %d\n", other == NULL, s + 2, s[0], "abc"[2], s[9]);
	self->own = "mine";
	printf("%s\n", self->own);
	self->own = errno ? "x" : NULL;
	printf("%d\n", self->own == NULL);
}
BEGIN
{
	printf("%s\n", self->own);
}
BEGIN
{
	@[self->own] = count();
}
BEGIN
{
	i = 300;
	trace(s[i]);
}
BEGIN
{
	exit(0);
}
