/*
 * ASSERTION: An action is no predicate.
 * SECTION: Predicates
 */
BEGIN /trace(1)/ { }
