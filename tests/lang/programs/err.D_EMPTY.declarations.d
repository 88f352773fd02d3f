/*
 * ASSERTION: A program has clauses; declarations alone are none.
 * SECTION: Programs
 */
int x;
