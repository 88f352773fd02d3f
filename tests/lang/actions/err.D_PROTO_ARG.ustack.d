/*
 * ASSERTION: The frames of ustack() are a number.
 * SECTION: Actions and subroutines/ustack
 */
BEGIN { ustack("all"); }
