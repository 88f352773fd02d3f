/*
 * ASSERTION: A clause-local variable is no associative array.
 * SECTION: Expressions
 */
BEGIN { this->a["x"] = 1; }
