/*
 * ASSERTION: $1 is the operand as a number, $$2 as a string, $0 the name of the script.
 * SECTION: Lexical rules/Macro arguments
 * @@flags: -q
 * @@args: 42 word
 */
BEGIN
{
	printf("%d %s %s\n", $1, $$2, $$0);
	exit(0);
}
