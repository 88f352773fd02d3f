/*
 * ASSERTION: A register's number is not negative.
 * SECTION: Built-in variables/uregs
 */
BEGIN { x = uregs[-1]; }
