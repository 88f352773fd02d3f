/*
 * ASSERTION: What copyin() returns has no type until it is cast.
 * SECTION: Expressions/Operators
 */
BEGIN { x = *copyin(arg0, 4); }
