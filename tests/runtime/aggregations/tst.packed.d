/*
 * ASSERTION: With aggpack quantize() and lquantize() take a line for each key, all of one aggregation with the same
 * buckets; llquantize() and formats of printa() do not.
 * SECTION: Aggregations/Bars and lines
 * @@flags: -q -x aggpack -x encoding=ascii
 */
BEGIN
{
	@big = quantize(1LL << 32);
	@one[1] = quantize(1);
	@text["mumble"] = quantize(1);
	@keys["foo", (char)1, (short)2, (long)3] = quantize(1);
	@below = lquantize(-10, -10, 20, 1, -1);
	@below = lquantize(-5, -10, 20, 1, 1);
	@below = lquantize(0, -10, 20, 1, 1);
	@wide["a"] = quantize(-4096);
	@wide["b"] = quantize(0);
	@wide["c"] = quantize(70000);
	@empty = quantize(0, 0);
	@other = llquantize(5, 10, 0, 1, 10);
	@share[10] = quantize(0, 10);
	@share[10] = quantize(1, 90);
	@share[40] = quantize(0, 40);
	@share[40] = quantize(1, 60);
	@count = count();
	setopt("aggzoom", "true");
	printa(@below);
	setopt("aggzoom", "false");
	printa(@below);
	printa("%s%@d\n", @text);
	exit(0);
}
