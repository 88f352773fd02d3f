/*
 * ASSERTION: A division by zero is noticed before an unknown variable.
 * SECTION: Operators
 */
BEGIN { x /= 0; }
