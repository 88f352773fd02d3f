/*
 * ASSERTION: arg6 to arg9 are the words on the stack above the return address, whatever the function takes.
 * SECTION: Built-in variables/arg0
 * @@flags: -q
 * @@trigger: calls
 */
pid$target:calls:eight:entry
{
	this->words = (long *)copyin(uregs[R_RSP] + 8, 32);
	printf("%d %d %d %d\n", arg6 == this->words[0], arg7 == this->words[1], arg8 == this->words[2], arg9 == this->words[3]);
}
