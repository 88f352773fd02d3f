/*
 * ASSERTION: A thread-local associative array is used with its keys.
 * SECTION: Variables/Associative arrays
 */
BEGIN { self->x[1, 2] = 5; trace(self->x); }
