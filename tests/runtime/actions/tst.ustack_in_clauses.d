/*
 * ASSERTION: Several clauses of one probe, and ERROR after each of them, may take stacks and write thread-local
 *	variables: the kernel's verifier follows them all.
 *
 * SECTION: Actions/ustack
 *
 * @@flags: -q
 * @@trigger: calls 1
 * @@mask: bpf-pc pid
 */
self long e;
pid$target:a.out:eight:entry { self->a = arg0; @[ustack(1)] = count(); }
pid$target:a.out:eight:entry /arg1/ { self->a += arg1; @[ustack(1)] = count(); trace(*(int *)1); }
pid$target:a.out:eight:entry /arg2/ { self->b = self->a; @[ustack(1)] = count(); trace(*(int *)2); }
pid$target:a.out:eight:entry /arg3/ { self->a -= arg3; @[ustack(1)] = count(); trace(*(int *)3); }
pid$target:a.out:eight:entry /arg4/ { self->b++; @[ustack(1)] = count(); trace(*(int *)4); }
pid$target:a.out:eight:entry { printf("%d %d %d\n", self->a, self->b, self->e); self->a = 0; self->b = 0; }
ERROR { self->e++; ustack(1); }
