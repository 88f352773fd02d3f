/*
 * ASSERTION: Globs, and no name at all, leave out functions that no symbol gives a size, as the start-up code of a
 *	program has them; named in full they are traced.
 *
 * SECTION: Providers/pid
 *
 * @@flags: -q -x evaltime=preinit
 * @@trigger: calls 1
 */
pid$target:a.out:[!_]*:entry { @["glob", probefunc] = count(); }
pid$target:a.out:_init:entry { @["name", probefunc] = count(); }
pid$target:a.out::entry /probefunc != "_start"/ { @["all", probefunc] = count(); }
END { printa("%s %s %@d\n", @); }
