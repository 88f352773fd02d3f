/*
 * ASSERTION: The expression of an inline assigns nothing to its keys.
 * SECTION: Declarations/Inlines
 */
inline int odd[int a] = a = 5;
BEGIN { trace(odd[1]); }
