/*
 * ASSERTION: quantize(), min(), max(), avg() and sum() see each call's argument as a signed number.
 * SECTION: Aggregations/quantize
 * @@flags: -q
 * @@trigger: calls 3
 */
pid$target:calls:neg:entry
{
	@q = quantize((long)arg0);
	@low = min((long)arg0);
	@high = max((long)arg0);
	@mean = avg((long)arg0);
	@all = sum((long)arg0);
}

END
{
	printa("%@d %@d %@d %@d", @low, @high, @mean, @all);
	printa(@q);
}
