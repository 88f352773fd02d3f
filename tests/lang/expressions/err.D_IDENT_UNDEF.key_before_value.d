/*
 * ASSERTION: Keys are looked at before the value.
 * SECTION: Associative arrays
 */
BEGIN { a[key] = value; }
