/*
 * ASSERTION: Nothing is assigned to an inline with keys.
 * SECTION: Declarations/Inlines
 */
inline int twice[int a] = a + a;
BEGIN { twice[1] = 5; }
