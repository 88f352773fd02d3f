/*
 * ASSERTION: Variables have D's storage classes.
 * SECTION: Types and declarations
 */
static int x;
BEGIN {  }
