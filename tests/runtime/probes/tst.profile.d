/*
 * ASSERTION: profile-N fires again and again; of arg0 and arg1, kernel or process, one at most is set.
 * SECTION: Probes/profile-N
 * @@flags: -q
 */
profile-499
{
	@both[arg0 != 0 && arg1 != 0] = count();
	fired++;
}

profile:::profile-2ms
/fired > 20/
{
	exit(0);
}

END
{
	printa("%d\n", @both);
}
