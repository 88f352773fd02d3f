/*
 * ASSERTION: freopen() takes no dot.
 * SECTION: Actions
 */
BEGIN { freopen("."); }
