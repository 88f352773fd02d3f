/*
 * ASSERTION: tracemem() wants a constant size.
 * SECTION: Actions
 */
BEGIN { tracemem(copyin(0, 4), pid); }
