/*
 * ASSERTION: return is an action, and no statement.
 * SECTION: Not compiled yet
 */
BEGIN { return; }
