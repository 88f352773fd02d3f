/*
 * ASSERTION: $target is the process of -p or -c.
 * SECTION: Probe descriptions
 */
pid$target:::entry { }
