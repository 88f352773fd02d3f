/*
 * ASSERTION: return() is for system calls alone.
 * SECTION: Not compiled yet
 */
BEGIN { return(5); }
