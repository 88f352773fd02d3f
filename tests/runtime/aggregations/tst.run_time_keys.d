/*
 * ASSERTION: clear(), trunc() and normalize() know keys from run time.
 * SECTION: Aggregations
 * @@flags: -q -x aggsortkey
 */
BEGIN { i = 0; }
tick-10ms { i++; @a[i] = sum(10 * i); @b[i] = count(); @c[i, execname] = sum(8 * i); }
tick-10ms /i == 4/ { trunc(@a, 2); clear(@b); normalize(@c, 4); printa("%d %@d\n", @a); printa("%d %@d\n", @b); exit(0); }
END { printa("%d %@d\n", @c); denormalize(@c); trunc(@c, -1); printa("%d %@d\n", @c); trunc(@a); trunc(@b); trunc(@c); }
