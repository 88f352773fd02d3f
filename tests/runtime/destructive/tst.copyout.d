/*
 * ASSERTION: copyout() and copyoutstr() write to the process; fasttrap is taken for them, where no other is asked for.
 * SECTION: Actions/copyout, copyoutstr
 * @@flags: -wq -x engine=auto
 * @@trigger: changed
 * @@mask: pid bpf-pc
 */
pid$target:changed:step:entry
/arg1 == 1/
{
	copyoutstr("changed altogether", arg0, 8);
	copyoutstr("changed", arg0, 32);
}

pid$target:changed:step:entry
/arg1 == 2/
{
	this->letter = (char *)alloca(1);
	*this->letter = 'C';
	copyout(this->letter, arg0, 1);
	copyout(this->letter, 1, 1);
}

/* Printed at the end: the process has said its own by then. */
ERROR
{
	@faults[arg4, arg5] = count();
}

END
{
	printa("%d %x %@d\n", @faults);
}
