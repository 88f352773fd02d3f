/*
 * ASSERTION: Under nobody's number a clause ends at its speculate(); to end a speculation that can't be is an error.
 * SECTION: Speculation
 * @@flags: -q -x nspec=2
 * @@mask: bpf-pc
 */
BEGIN
{
	speculate(0);
	x = 1;
}

BEGIN
{
	speculate(-1);
	x = 2;
}

BEGIN
{
	speculate(2);
	x = 3;
}

BEGIN
{
	commit(0);
	discard(2);
	x = 6;
}

BEGIN
{
	printf("x is %d\n", x);
}

BEGIN
{
	commit(3);
	x = 4;
}

BEGIN
{
	discard(-1);
	x = 5;
}

BEGIN
{
	printf("x is %d\n", x);
	exit(0);
}
