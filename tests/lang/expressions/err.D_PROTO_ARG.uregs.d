/*
 * ASSERTION: A register's number is a constant.
 * SECTION: Built-in variables/uregs
 */
BEGIN { x = 5; trace(uregs[x]); }
