/*
 * ASSERTION: if and else choose what is performed and recorded.
 * SECTION: Statements/if
 * @@flags: -q
 */
BEGIN { i = 0; }
tick-10ms
{
	i++;
	if (i == 1) printf("one\n"); else if (i == 2) { printf("two\n"); x = i; } else { printf("%d after %d\n", i, x); exit(0); }
}
