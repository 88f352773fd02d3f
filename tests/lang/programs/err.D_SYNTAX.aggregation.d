/*
 * ASSERTION: An aggregation is shown with its name.
 * SECTION: Errors
 */
BEGIN { @a = count() @b = count(); }
