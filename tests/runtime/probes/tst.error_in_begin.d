/*
 * ASSERTION: What BEGIN's clauses print comes before what ERROR printed while they ran; a fault behind exit() takes the
 *	status back and the end comes all the same.
 *
 * SECTION: Providers/dtrace
 *
 * @@mask: bpf-pc cpu-id
 */
BEGIN { trace("first"); }
BEGIN { trace(*(int *)16); }
BEGIN { trace("second"); }
BEGIN { exit(3); trace(*(int *)16); }
BEGIN { trace("never"); }
ERROR { trace("error"); }
END { trace("end"); }
