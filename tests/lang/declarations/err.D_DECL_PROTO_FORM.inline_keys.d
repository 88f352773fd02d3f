/*
 * ASSERTION: The keys of an inline have names of their own.
 * SECTION: Declarations/Inlines
 */
inline int both[int a, int a] = a;
BEGIN { trace(both[1, 2]); }
