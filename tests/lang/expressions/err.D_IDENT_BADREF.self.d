/*
 * ASSERTION: self alone is no value.
 * SECTION: `self->` variables
 */
BEGIN { trace(self + 1); }
