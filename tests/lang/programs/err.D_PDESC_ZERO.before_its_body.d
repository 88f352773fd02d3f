/*
 * ASSERTION: The probe of a clause is looked for before its statements are.
 * SECTION: Programs
 */
zzz { trace(nosuch); }
