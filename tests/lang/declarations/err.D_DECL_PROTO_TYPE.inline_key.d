/*
 * ASSERTION: A key of an inline has a type that has values.
 * SECTION: Declarations/Inlines
 */
inline int both[void a] = 5;
BEGIN { trace(1); }
