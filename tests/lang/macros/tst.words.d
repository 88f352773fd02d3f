/*
 * ASSERTION: Operands that are words stand for types, variables, members and functions.
 * SECTION: Macros
 *
 * @@args: uint16_t name trace string pid
 */
BEGIN
{
	$2 = ($1)65537;
	self->$2 = sizeof($1);
	this->$2 = ($4)"text";
	$3(self->name + $5);
}
