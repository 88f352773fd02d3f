/*
 * ASSERTION: Nothing is aggregated behind commit().
 * SECTION: Actions
 */
BEGIN { commit(1); @ = count(); }
