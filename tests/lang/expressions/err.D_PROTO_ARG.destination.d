/*
 * ASSERTION: What bcopy() and copyinto() write to is known to be a clause's own memory.
 * SECTION: Subroutines/bcopy
 */
BEGIN { q = (char *)16; p = alloca(4); bcopy(q, p, 4); bcopy(p, q, 4); }
