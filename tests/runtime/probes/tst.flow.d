/*
 * ASSERTION: With -F calls are indented: entries open, returns close, what lies between is shown where it happens.
 * SECTION: Command/-F
 * @@flags: -F
 * @@trigger: returns
 * @@mask: flow-cpu
 */
pid$target:a.out:factorial:entry
{
	trace(arg0);
}
pid$target:a.out:factorial:return
{
	trace(arg1);
}
pid$target:a.out:passed_on:entry,
pid$target:a.out:passed_on:return,
pid$target:a.out:either:entry,
pid$target:a.out:either:return,
pid$target:a.out:either:2
{ }
