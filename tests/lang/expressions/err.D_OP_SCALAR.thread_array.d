/*
 * ASSERTION: Nor counted up.
 * SECTION: Variables/Associative arrays
 */
BEGIN { self->x[1] = 5; self->x++; }
