/*
 * ASSERTION: 0 is a string for every subroutine that takes one; using it is a fault.
 * SECTION: Subroutines/strlen()
 * @@flags: -q
 * @@mask: bpf-pc
 */
BEGIN
{
	trace(strlen(0));
}

BEGIN
{
	trace(strjoin("a", NULL));
}

BEGIN
{
	trace(strtok("abc", NULL));
}

BEGIN
{
	trace(index(0, "a"));
}

BEGIN
{
	trace(substr(NULL, 1));
}

BEGIN
{
	exit(0);
}

ERROR
{
	printf("fault %d at %x\n", arg4, arg5);
}
