/*
 * ASSERTION: The built-in variables of the tracer's own probes.
 * SECTION: Variables/Built-in
 * @@flags: -q
 */
BEGIN
{
	printf("%s:%s:%s:%s %d %d\n", probeprov, probemod, probefunc, probename, id, epid & 0xffffffff);
	printf("%s %d %d %d\n", execname, pid == $pid, ppid == $ppid, tid == pid);
	printf("%d %d %d %d\n", uid, gid, arg0, arg9);
	printf("%d %d %d\n", timestamp > 0, timestamp == timestamp, walltimestamp > 1500000000000000000);
	printf("%d %d\n", cpu >= 0, vtimestamp >= 0);
}
BEGIN { printf("%d %d\n", epid >> 32, epid & 0xffffffff); exit(0); }
END { printf("%s\n", probename); }
