/*
 * ASSERTION: copyout() takes a pointer of D.
 * SECTION: Actions
 */
BEGIN { copyout(1, 2, 3); }
