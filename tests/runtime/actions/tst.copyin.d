/*
 * ASSERTION: copyin() gives a pointer to the process's bytes; an address that can't be read is a fault, which the run survives.
 * SECTION: Subroutines/copyin
 * @@flags: -q
 * @@trigger: calls
 * @@mask: bpf-pc pid
 */
pid$target:calls:text:entry
/strlen(copyinstr(arg0)) > 3/
{
	this->p = (char *)copyin(arg0, 4);
	this->all = *(int *)this->p;
	printf("%c %d\n", this->p[0], this->all == (this->p[0] | this->p[1] << 8 | this->p[2] << 16 | this->p[3] << 24));
}
pid$target:calls:eight:entry
{
	copyin(16, 4);
	printf("not printed\n");
}
pid$target:calls:eight:entry
{
	printf("next clause\n");
}
