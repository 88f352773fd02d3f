/*
 * ASSERTION: A number is no member.
 * SECTION: Macros
 *
 * @@args: 5
 */
BEGIN { self->$1 = 3; }
