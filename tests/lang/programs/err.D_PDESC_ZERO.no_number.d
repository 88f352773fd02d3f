/*
 * ASSERTION: The pid provider has a process number.
 * SECTION: Probe descriptions
 */
pid:::entry { }
