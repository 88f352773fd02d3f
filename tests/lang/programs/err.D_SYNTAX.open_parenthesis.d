/*
 * ASSERTION: The parentheses of a predicate are closed in it.
 * SECTION: Predicates
 */
BEGIN /(1/ { trace(1); }
