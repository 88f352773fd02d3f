/*
 * ASSERTION: With encoding=utf8 bars are of block characters, parts of a column too; packed ones differ in height, and
 * negative counts are letters.
 * SECTION: Aggregations/Bars and lines
 * @@flags: -q -x encoding=utf8
 */
BEGIN
{
	@share[10] = quantize(0, 10);
	@share[10] = quantize(1, 90);
	@share[45] = quantize(0, 45);
	@share[45] = quantize(1, 55);
	@below = lquantize(-10, -10, 20, 1, -1);
	@below = lquantize(0, -10, 20, 1, 3);
	printa(@share);
	setopt("aggpack");
	printa(@share);
	printa(@below);
	setopt("agghist");
	@sums["a"] = sum(1);
	@sums["b"] = sum(6);
	printa(@sums);
	exit(0);
}
