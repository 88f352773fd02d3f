/*
 * ASSERTION: stacks and symbols are keys; addresses of one function or object are one key; %k prints a stack as wide as asked for.
 * SECTION: Aggregations
 * @@flags: -q -x stackindent=4
 * @@trigger: calls 2
 * @@mask: offset
 */
pid$target:calls:add:entry,
pid$target:calls:neg:entry
{
	@stacks[ustack(2)] = count();
	@callers[usym(ucaller), umod(ucaller)] = count();
	@places[uaddr(uregs[R_RIP])] = sum(1);
	@shown[ustack(1), probefunc] = count();
}
END
{
	printa(@stacks);
	printa(@callers);
	printa("%A %@d\n", @places);
	printa("%-2k%s %@d\n", @shown);
	trunc(@callers);
	printa(@callers);
}
