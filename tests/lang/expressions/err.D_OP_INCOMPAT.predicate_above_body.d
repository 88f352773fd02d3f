/*
 * ASSERTION: An operation that ends a predicate is on the line of the body: so far DTrace has read.
 * SECTION: Predicates
 */
BEGIN
/"a" == 1/
{
}
