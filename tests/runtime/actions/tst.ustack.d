/*
 * ASSERTION: ustack() shows where the thread is and who called it, from the first instruction on; usym() and its like name addresses.
 * SECTION: Actions/ustack
 * @@flags: -x ustackframes=2
 * @@trigger: calls 1
 * @@mask: cpu-id offset
 */
pid$target:calls:add:entry { ustack(); }
pid$target:calls:add:entry
{
	ustack(1);
	usym(ucaller);
	ufunc(uregs[R_RIP]);
	umod(ucaller);
	uaddr(ucaller);
	uaddr(uregs[R_RIP]);
	uaddr(16);
	umod(16);
	printf("|%A|%d|%d", uregs[R_RIP], ustackdepth > 2, ustackdepth <= 256);
}
