/*
 * ASSERTION: uregs[] has as many elements as there are registers.
 * SECTION: Variables/uregs
 */
BEGIN { x = uregs[26]; }
