/*
 * ASSERTION: A predicate is an integer.
 * SECTION: Predicates
 */
BEGIN /execname/ { }
