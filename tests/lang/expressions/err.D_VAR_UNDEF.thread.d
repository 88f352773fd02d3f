/*
 * ASSERTION: A thread-local variable is known once it is assigned or declared.
 * SECTION: Variables
 */
BEGIN { trace(self->x); }
