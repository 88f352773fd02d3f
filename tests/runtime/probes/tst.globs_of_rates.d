/*
 * ASSERTION: Globs match the timed probes that DTrace has from the start.
 *
 * SECTION: Providers/profile
 *
 * @@flags: -q
 */
tick-5*, profile:::tick-1[0]00 { @[probeprov, probename] = count(); }
tick-100hz /n++ == 60/ { exit(0); }
END { printa("%s %s\n", @); }
