/*
 * ASSERTION: A description that matches no probe is an error.
 * SECTION: Probe descriptions
 */
nosuch:::probe { exit(0); }
