/*
 * ASSERTION: uregs has an index.
 * SECTION: Variables/uregs
 */
BEGIN { x = uregs; }
