/*
 * ASSERTION: printa() prints keys in a format, values with %@, and several aggregations at once.
 * SECTION: printa
 */
BEGIN
{
	@a[1, "x"] = count(); @b[1, "x"] = sum(2); @q = quantize(1);
	printa(@a); printa("%d %s %@d %@u\n", @a); printa("%d\n", @a); printa("%d %s %@d %@d\n", @a, @b); printa(@q);
}
