/*
 * ASSERTION: What is committed can't be speculated any more.
 * SECTION: Actions
 */
BEGIN { commit(1); speculate(1); }
