/*
 * ASSERTION: Constants of D are not assigned to.
 * SECTION: Expressions/Operators
 */
BEGIN { R_RAX = 3; }
