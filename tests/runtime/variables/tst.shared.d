/*
 * ASSERTION: Global variables are shared by all clauses, clause-local ones by those of one firing.
 * SECTION: Variables
 * @@flags: -q
 */
BEGIN { x = 1; this->y = 2; self->z = 3; }
BEGIN { printf("%d %d %d\n", x, this->y, self->z); self->z = 0; x = 5; exit(0); }
END { printf("%d %d %d\n", x, this->y, self->z); }
