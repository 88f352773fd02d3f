/*
 * ASSERTION: An inline with keys is defined once.
 * SECTION: Declarations/Inlines
 */
inline int twice[int a] = a + a;
inline int twice[int b] = b * 2;
BEGIN { trace(twice[1]); }
