/*
 * ASSERTION: A declaration counts for all clauses of its text.
 * SECTION: Declarations
 */
BEGIN { x = "a"; }
int x;
