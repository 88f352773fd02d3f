/*
 * ASSERTION: Arguments are a clause's.
 * SECTION: Expressions
 */
inline int first = args[0];
BEGIN {  }
