/*
 * ASSERTION: The nine aggregating functions of a few numbers.
 * SECTION: Aggregations
 * @@flags: -q
 */
BEGIN
{
	@n = count(); @n = count(); @s = sum(4); @s = sum(-7); @a = avg(4); @a = avg(7);
	@l = min(4); @l = min(-2); @h = max(-9); @h = max(-2); @d = stddev(2); @d = stddev(8);
	@q["q"] = quantize(9); @q["q"] = quantize(-9, 3); @lq = lquantize(5, 0, 20, 5); @lq = lquantize(50, 0, 20, 5);
	@ll = llquantize(15, 10, 0, 2, 10);
	printa("%@d ", @n); printa("%@d ", @s); printa("%@d ", @a); printa("%@d ", @l); printa("%@d ", @h);
	printa("%@d\n", @d); printa(@q); printa(@lq); printa(@ll);
	clear(@q); clear(@lq); clear(@ll); trunc(@q); trunc(@lq); trunc(@ll);
	exit(0);
}
