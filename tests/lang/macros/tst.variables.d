/*
 * ASSERTION: Macro variables of the tracer are integers, with $$ strings.
 * SECTION: Macros
 */
BEGIN { x = $pid + $ppid + $uid + $euid + $gid + $egid + $sid + $pgid; trace($$pid); }
