/*
 * ASSERTION: a variable that holds a stack holds nothing else.
 * SECTION: Actions and subroutines
 */
BEGIN { x = ustack(); x = ustack(2); self->y = x; self->y = 0; x = 5; }
