/*
 * ASSERTION: What needs more memory than there is for variables is refused.
 * SECTION: Types and declarations
 */
char a[0x1000000];
BEGIN {  }
