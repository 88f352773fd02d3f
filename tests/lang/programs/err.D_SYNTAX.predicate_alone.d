/*
 * ASSERTION: A predicate has a body behind it.
 * SECTION: Programs
 */
BEGIN /1/
