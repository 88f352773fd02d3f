/*
 * ASSERTION: A clause-local variable is known once it is assigned or declared.
 * SECTION: Variables
 */
BEGIN { trace(this->x); }
