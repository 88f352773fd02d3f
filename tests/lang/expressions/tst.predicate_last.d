/*
 * ASSERTION: A predicate may ask for a variable that its clause makes; of a constant condition only one side is looked at.
 * SECTION: Program structure/Predicates
 */
BEGIN /x == 0 && self->y == 0/ { x++; self->y = 1; z = 1 ? "text" : 2; }
BEGIN /made++ == 0/ { trace(made); }
