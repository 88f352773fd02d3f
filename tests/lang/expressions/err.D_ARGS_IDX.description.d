/*
 * ASSERTION: The first description of a clause is shown whole, its macros expanded.
 * SECTION: Built-in variables
 * @@args: BEGIN
 */
$1, END { trace(args[0]); }
