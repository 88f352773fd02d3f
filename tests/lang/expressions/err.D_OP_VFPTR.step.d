/*
 * ASSERTION: ++ takes a pointer to something that has a size.
 * SECTION: Expressions/Operators
 */
void *p;
BEGIN { p++; }
