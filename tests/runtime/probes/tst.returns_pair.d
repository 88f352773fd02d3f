/*
 * ASSERTION: Entries and returns pair by thread and depth, in a recursion too; what longjmp leaves does not return.
 * SECTION: Probes/Function return
 * @@flags: -q
 * @@trigger: returns
 */
self int sum;

pid$target:a.out:factorial:entry
{
	self->depth++;
	self->sum = self->sum + self->depth * arg0;
}
pid$target:a.out:factorial:return
{
	printf("%d %d\n", self->depth, arg1);
	self->depth--;
}
pid$target:a.out:factorial:return
/self->depth == 0/
{
	printf("sum %d\n", self->sum);
	self->sum = 0;
}
pid$target:a.out:leaves:
/probename == "entry" || probename == "return"/
{
	@[probename] = count();
}
