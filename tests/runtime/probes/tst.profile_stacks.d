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
	seen = 1;
}

tick-20ms
/seen/
{
	printa("%A %s\n", @stacks);
	exit(0);
}
