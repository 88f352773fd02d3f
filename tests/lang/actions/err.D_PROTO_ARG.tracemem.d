/*
 * ASSERTION: The size of tracemem() is a number.
 * SECTION: Actions and subroutines/tracemem
 */
BEGIN { tracemem(1, "four"); }
