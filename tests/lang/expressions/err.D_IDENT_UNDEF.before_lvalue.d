/*
 * ASSERTION: Operands are looked at before what can be assigned to.
 * SECTION: Operators
 */
BEGIN { 1 += x; }
