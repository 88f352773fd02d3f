/*
 * ASSERTION: ERROR's clauses run within the firing that failed: before its later clauses, with its this-> variables,
 *	in its thread, and with arguments of their own. Later clauses find all else as it was.
 *
 * SECTION: Providers/dtrace
 *
 * @@flags: -q
 * @@mask: bpf-pc pid
 * @@trigger: calls 1
 */
this int step;
this string said;
self int missed;

pid$target:a.out:eight:entry { this->step = 1; this->said = "clause"; printf("%d %d\n", arg0, arg7); }
pid$target:a.out:eight:entry { this->step = 2; trace(*(int *)16); this->step = 3; }
pid$target:a.out:eight:entry
{
	printf("%d %s %d %d %s %d\n", this->step, this->said, arg0, arg7, probefunc, self->missed);
}
pid$target:a.out:eight:entry /1 % (this->step - 7)/ { trace("never"); }
pid$target:a.out:eight:entry { printf("%d\n", this->step); }
pid$target:a.out:eight:entry { trace(*(int *)24); exit(5); }
ERROR
{
	printf("%s %d %s: %d %d %d 0x%x, %s, uregs %d\n", probename, id, this->said, this->step, arg2, arg4, arg5,
	    pid == $target && execname == "calls" ? "in the process" : "elsewhere", uregs[R_RDI]);
	this->step = 7;
	this->said = "error";
	self->missed++;
}
ERROR { @[probename, probefunc] = sum(arg0); trace(*(int *)32); }
END { printa("%s %s %@d\n", @); }
