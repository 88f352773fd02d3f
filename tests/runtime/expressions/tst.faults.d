/*
 * ASSERTION: A fault ends its clause, is reported, and later clauses run.
 * SECTION: Errors
 * @@flags: -q
 * @@mask: bpf-pc
 */
BEGIN { x = 0; printf("one\n"); y = 5 / x; printf("not reached\n"); }
BEGIN { printf("two\n"); }
BEGIN { printf("%s", copyinstr(8)); }
BEGIN { exit(0); }
