/*
 * ASSERTION: An operand that begins with a digit is the number that it begins with; quotes around one are taken off.
 * SECTION: Macros
 *
 * @@flags: -q
 * @@args: 1a 0x1g 1u 09 1.5 +1 "a" 0x7fu
 */
BEGIN
{
	trace($1); trace(" "); trace($2); trace(" "); trace($3); trace(" "); trace($4); trace(" ");
	trace($5); trace(" "); trace($6); trace(" "); trace($7); trace(" "); trace($8);
	exit(0);
}
