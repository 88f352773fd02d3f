/*
 * ASSERTION: Of actions that can not be compiled the arguments are checked first.
 * SECTION: Actions and subroutines
 */
BEGIN { panic("now"); }
