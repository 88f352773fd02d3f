/*
 * ASSERTION: And before the next clause's.
 * SECTION: Programs
 */
BEGIN { trace(nosuch); }
zzz { }
