/*
 * ASSERTION: ++ takes a scalar.
 * SECTION: Expressions/Operators
 */
BEGIN { s = "a"; s++; }
