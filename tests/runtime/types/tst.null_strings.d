/*
 * ASSERTION: NULL is below every string and equal to itself; any other use of it is a fault.
 * SECTION: Values/Strings
 * @@flags: -q
 * @@mask: bpf-pc
 */
string s; self string own;

BEGIN
{
	printf("%d %d %d %d\n", s == NULL, s == "", self->own == NULL, "" < s);
	s = NULL;
	printf("%d %d %d %d\n", s == NULL, s < "", s > "", s == "");
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
BEGIN { trace(other); }
BEGIN { trace(strlen(other)); }
BEGIN { trace(other[2]); }
BEGIN { trace(strjoin(other, "x")); }
BEGIN { trace(strstr("abc", "x")); }
BEGIN { a[other] = 1; }
BEGIN { trace(strtok("", "x") == NULL); }
string never;
BEGIN { printf("%s%d%d\n", never, strlen(never), never[3]); }
BEGIN
{
	i = 300;
	trace(s[i]);
}
BEGIN
{
	exit(0);
}
