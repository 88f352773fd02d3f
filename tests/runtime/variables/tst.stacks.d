/*
 * ASSERTION: variables and elements hold stacks, which are keys of arrays and aggregations and are shown later.
 * SECTION: Actions/ustack
 * @@flags: -q
 * @@trigger: calls 2
 * @@mask: offset
 */
pid$target:calls:add:entry,
pid$target:calls:neg:entry
{
	self->s = ustack(2);
	this->t = self->s;
	seen[this->t]++;
	last[probefunc] = ustack(1);
	@keys[last[probefunc]] = max(seen[ustack(2)]);
}
pid$target:calls:add:entry
{
	printf("%k|", self->s);
	trace(this->t);
	self->s = 0;
	printf("%k|", self->s);
}
END
{
	printf("%k%k", last["add"], last["neg"]);
	printa(@keys);
}
