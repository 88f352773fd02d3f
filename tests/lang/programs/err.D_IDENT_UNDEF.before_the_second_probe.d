/*
 * ASSERTION: A clause's statements are looked at before its second probe is looked for.
 * SECTION: Programs
 */
BEGIN, zzz { trace(nosuch); }
