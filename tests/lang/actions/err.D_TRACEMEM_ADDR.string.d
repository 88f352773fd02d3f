/*
 * ASSERTION: tracemem() wants an address.
 * SECTION: Actions
 */
BEGIN { tracemem("abc", 4); }
