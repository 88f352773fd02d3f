/*
 * ASSERTION: the caller is right at each instruction of a function, its returns included.
 * SECTION: Built-in variables/ucaller
 * @@flags: -q
 * @@trigger: calls 1
 */
pid$target:calls:text:,
pid$target:calls:eight:
{
	@callers[probefunc, usym(ucaller)] = count();
	@depths[probefunc, ustackdepth > 2] = count();
}
END
{
	printa("%s %A\n", @callers);
	printa("%s %d\n", @depths);
}
