/*
 * ASSERTION: The names of an inline's keys mean nothing outside of it.
 * SECTION: Declarations/Inlines
 */
inline int twice[int number] = number + number;
BEGIN { trace(number); }
