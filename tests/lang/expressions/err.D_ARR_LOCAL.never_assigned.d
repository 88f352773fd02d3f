/*
 * ASSERTION: There are no clause-local associative arrays, assigned to or not.
 * SECTION: `this->` variables
 */
BEGIN { trace(this->x[1]); }
