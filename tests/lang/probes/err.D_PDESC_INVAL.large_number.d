/*
 * ASSERTION: IDs have 32 bits.
 * SECTION: Probe descriptions
 */
4294967296 { }
