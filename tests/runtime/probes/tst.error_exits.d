/*
 * ASSERTION: exit() in ERROR ends the firing that failed, and what other clauses of ERROR do is done.
 *
 * SECTION: Providers/dtrace
 *
 * @@flags: -q
 * @@mask: bpf-pc pid
 * @@trigger: calls 3
 * @@status: 4
 */
pid$target:a.out:add:entry { printf("add %d\n", arg0); }
pid$target:a.out:add:entry /arg0 == 1/ { trace(*(int *)16); }
pid$target:a.out:add:entry { printf("added %d\n", arg0); }
ERROR { printf("error\n"); exit(4); }
ERROR { printf("again\n"); }
END { printf("end\n"); }
