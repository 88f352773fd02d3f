/*
 * ASSERTION: printf() prints stacks, indented by %-Nk, and what usym() and its like give; trace() prints stacks.
 * SECTION: Formats
 * @@flags: -q
 * @@trigger: calls
 */
pid$target:calls:text:entry
/!seen++/
{
	printf("<%k|%-2k|%A|%A|%A>\n", ustack(2), ustack(1), usym(uregs[R_RIP]), umod(uregs[R_RIP]), uaddr(uregs[R_RIP]));
	trace(ustack(1));
}
