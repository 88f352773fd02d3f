/*
 * ASSERTION: Of a name of a type the rest of the line is shown as well.
 * SECTION: Errors
 */
BEGIN
{
	uint32_t x;
}
