/*
 * ASSERTION: Aggregations that are printed together have keys of one kind.
 * SECTION: printa
 */
BEGIN { @a[1] = count(); @b["x"] = count(); printa(@a, @b); }
