/*
 * ASSERTION: A return fires at each instruction that leaves its function: arg0 is its offset, arg1 the result.
 * SECTION: Probes/Function return
 * @@flags: -q
 * @@trigger: returns
 */
pid$target:a.out:either:return,
pid$target:a.out:passed_on:return,
pid$target:a.out:maybe:return,
pid$target:a.out:split:return,
pid$target:a.out:switched:return
{
	printf("%s %x %d %d\n", probefunc, arg0, arg1, arg4);
}
