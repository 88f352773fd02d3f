/*
 * ASSERTION: Missing fields of a description match all, and descriptions are listed with commas.
 * SECTION: Probe descriptions
 */
BEGIN, END, dtrace:::BEGIN, :::END, dtrace:::E*, :::[BE]*, ::BEGIN, tick-1s, profile:::tick-10ms { }
