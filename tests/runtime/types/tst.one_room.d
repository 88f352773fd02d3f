/*
 * ASSERTION: Thread-local variables and the elements of all arrays share the room of dynvarsize, and give it back.
 * SECTION: Losses
 * @@flags: -q -x dynvarsize=80
 */
BEGIN { a[1] = 1; a[2] = 1; b[1] = 1; b[2] = 1; self->x = 1; c[1] = 1; }
BEGIN { printf("%d %d %d %d %d %d\n", a[1], a[2], b[1], b[2], self->x, c[1]); a[1] = 0; }
BEGIN { c[1] = 1; }
BEGIN { printf("%d %d %d %d %d %d\n", a[1], a[2], b[1], b[2], self->x, c[1]); b[1] = 0; b[2] = 0; a[2] = 0; self->x = 0; c[1] = 0;}
BEGIN { c[1] = 1; c[2] = 1; c[3] = 1; c[4] = 1; c[5] = 1; printf("%d %d %d %d %d\n", c[1], c[2], c[3], c[4], c[5]); exit(0); }
