/*
 * ASSERTION: Values are looked at before what may be written.
 * SECTION: Operators
 */
BEGIN { pid = x; }
