/*
 * ASSERTION: A process number is positive.
 * SECTION: Probe descriptions
 */
pid0:::entry { }
