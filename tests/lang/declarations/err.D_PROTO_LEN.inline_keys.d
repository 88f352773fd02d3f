/*
 * ASSERTION: An inline with keys is named with as many.
 * SECTION: Declarations/Inlines
 */
inline int both[int a, int b] = a + b;
BEGIN { trace(both[1]); }
