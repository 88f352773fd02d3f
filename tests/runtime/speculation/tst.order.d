/*
 * ASSERTION: What is speculated is printed where it is committed, in its order, or never.
 * SECTION: Speculation
 * @@flags: -q -x nspec=3
 * @@trigger: calls
 */
pid$target:calls:text:entry
{
	self->number = speculation();
	self->calls++;
}

pid$target:calls:text:entry
{
	speculate(self->number);
	printf("text %d", self->calls);
}

pid$target:calls:text:entry
{
	speculate(self->number);
	printf(", %s\n", copyinstr(arg0));
}

pid$target:calls:text:entry
/self->calls == 2/
{
	discard(self->number);
	printf("discarded\n");
}

pid$target:calls:text:entry
/self->calls == 3/
{
	commit(self->number);
}

END
{
	speculate(0);
	printf("nobody's\n");
}

END
{
	commit(1);
	discard(3);
}
