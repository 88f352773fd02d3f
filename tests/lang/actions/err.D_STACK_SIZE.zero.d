/*
 * ASSERTION: The frames of stack() are a positive constant.
 * SECTION: Actions and subroutines/stack
 */
BEGIN { stack(0); }
