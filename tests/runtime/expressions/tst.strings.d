/*
 * ASSERTION: Strings compare as strcmp() compares them, and keep at most strsize - 1 characters.
 * SECTION: Types/string
 * @@flags: -q -x strsize=8
 */
BEGIN
{
	s = "abc"; t = "abd"; this->e = ""; self->u = "abcdefghijk";
	printf("%d %d %d %d %d %d\n", s == t, s != t, s < t, s <= t, s > t, s >= t);
	printf("%d %d %d\n", this->e == NULL, s == "abc", this->e < s);
	printf("[%s] %d [%s] [%s]\n", self->u, strlen(self->u), s + 1, t + 9);
	s = strlen(s) > 2 ? self->u : t;
	printf("[%s] [%s]\n", s, stringof(t));
	exit(0);
}
