/*
 * ASSERTION: The name of a built-in variable is taken.
 * SECTION: Types and declarations
 */
int pid;
BEGIN {  }
