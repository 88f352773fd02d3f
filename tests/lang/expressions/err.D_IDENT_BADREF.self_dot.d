/*
 * ASSERTION: Thread-local variables are named with an arrow.
 * SECTION: `self->` variables
 */
BEGIN { trace(self.x); }
