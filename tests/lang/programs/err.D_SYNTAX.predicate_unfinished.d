/*
 * ASSERTION: The slash that ends a predicate too early is on the line of the body.
 * SECTION: Predicates
 */
BEGIN
/pid == 1 &&/
{
}
