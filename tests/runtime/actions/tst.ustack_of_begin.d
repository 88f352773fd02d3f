/*
 * ASSERTION: a probe that no thread of a process fires has no stack.
 * SECTION: Actions/ustack
 * @@flags: -q
 * @@trigger: calls 1
 */
pid$target:calls:eight:entry { }
BEGIN { ustack(); printf("%d %d\n", ustackdepth, ucaller); @[ustack()] = count(); }
