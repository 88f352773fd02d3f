/*
 * ASSERTION: What may lead to a clause's own memory or elsewhere is in no variable.
 * SECTION: Subroutines/alloca
 */
BEGIN { x = 1; p = x ? alloca(8) : 0; }
