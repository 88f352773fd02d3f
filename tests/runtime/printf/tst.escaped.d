/*
 * ASSERTION: %S shows the zero that ends a text, unless an array has none or precision leaves it out.
 * SECTION: Formats
 * @@flags: -q
 */
char c[4];

BEGIN
{
	printf("[%S] [%10S] [%-8S] [%.2S] [%S] [%S]\n", "abc", "abc", "abc", "abc", "", "a\tb");
	c[0] = 65;
	c[1] = 66;
	printf("[%S] ", c);
	c[2] = 67;
	c[3] = 68;
	printf("[%S] [%s]\n", c, c);
	@[c, "k"] = count();
	printa("[%S] [%S] %@d\n", @);
	exit(0);
}
