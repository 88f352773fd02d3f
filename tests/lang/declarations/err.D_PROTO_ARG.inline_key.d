/*
 * ASSERTION: The keys of an inline have the types that it gives them.
 * SECTION: Declarations/Inlines
 */
inline int twice[int a] = a + a;
BEGIN { trace(twice["a"]); }
