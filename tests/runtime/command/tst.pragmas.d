/*
 * ASSERTION: Options of a pragma hold for the program.
 * SECTION: Pragmas
 */
#pragma D option quiet
#pragma D option strsize=4
#pragma D option defaultargs
BEGIN { printf("%d [%s] %d\n", $1, $$2, sizeof(string)); s = "abcdef"; trace(s); printf("\n"); exit(0); }
