/*
 * ASSERTION: A sample is of the thread that ran, and its addresses have names, though no probe is in the process.
 * SECTION: Probes/profile-N
 * @@flags: -q -x engine=auto
 * @@trigger: spins
 */
profile-499
/pid == $target && arg1 != 0/
{
	@stacks[ufunc(arg1), probeprov] = count();
	seen++;
}

tick-20ms
/seen > 50/
{
	trunc(@stacks, 1); /* on a busy machine it is met at its start as well */
	printa("%A %s\n", @stacks);
	exit(0);
}
