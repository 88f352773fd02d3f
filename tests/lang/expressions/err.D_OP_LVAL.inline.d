/*
 * ASSERTION: An inline that is no lvalue is not assigned to.
 * SECTION: Expressions
 */
inline int x = pid + 1;
BEGIN { x = 3; }
