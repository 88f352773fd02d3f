/*
 * ASSERTION: Nor is it assigned to without.
 * SECTION: Variables/Associative arrays
 */
BEGIN { self->x[1] = 5; self->x = 6; }
