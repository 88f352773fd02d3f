/*
 * ASSERTION: A description has at most four fields.
 * SECTION: Probe descriptions
 */
a:b:c:d:e { }
