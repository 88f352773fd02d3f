/*
 * ASSERTION: An inline with keys stands for nothing without them.
 * SECTION: Declarations/Inlines
 */
inline int twice[int a] = a + a;
BEGIN { trace(twice); }
