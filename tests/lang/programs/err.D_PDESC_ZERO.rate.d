/*
 * ASSERTION: A rate of 0 is no probe.
 * SECTION: Probe descriptions
 */
tick-0 { }
