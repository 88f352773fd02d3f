/*
 * ASSERTION: Without -q each firing is a row of CPU, ID and function:name, and the notice counts the probes.
 * SECTION: Output of the command/Rows
 * @@trigger: calls 2
 * @@mask: cpu-id
 */
pid$target:calls:add:entry
{
	printf("%d %d", arg0, arg1);
}
