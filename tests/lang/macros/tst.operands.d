/*
 * ASSERTION: Operands stand for integers, names and strings; $$1 for a string always.
 * SECTION: Macros
 * @@args: 5 execname two/words 0x10
 */
BEGIN
{
	x = $1 + 1; trace($$1); trace($2); trace(strlen($$3)); trace($0); trace(strlen($$4));
}
