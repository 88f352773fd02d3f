/*
 * ASSERTION: system(), freopen() and setopt() are carried out where they stand in the stream of data.
 * SECTION: Actions/system, freopen, setopt
 * @@flags: -w
 * @@mask: cpu-id bpf-pc
 */
BEGIN
{
	printf("before");
	system("echo %s %d", "command", 1);
	freopen("/dev/null");
	printf("nowhere");
	freopen("");
	freopen("/dev/null/none");
}

BEGIN
{
	@["b"] = sum(2);
	@["a"] = sum(1);
	printa(@);
	setopt("aggsortrev");
	setopt("quiet", "yes");
	setopt("bufsize", "4k");
	setopt("nonsense");
	printa("%s\n", @);
	exit(0);
}
