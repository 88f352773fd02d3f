/*
 * ASSERTION: A variable leads to a clause's own memory or elsewhere, not both.
 * SECTION: Subroutines/alloca
 */
BEGIN
{
	self->p = (char *)copyin(arg0, 4) + 1;
	self->p = NULL;
	self->p = (char *)arg1;
}
