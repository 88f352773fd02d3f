/*
 * ASSERTION: arg0 to arg5 are the argument registers, arg6 and arg7 the first words on the stack.
 * SECTION: Built-in variables/arg0
 * @@flags: -q
 * @@trigger: calls
 */
pid$target:calls:eight:entry
{
	printf("%d %d %d %d %d %d %d %d\n", arg0, arg1, arg2, arg3, arg4, arg5, arg6, arg7);
}
