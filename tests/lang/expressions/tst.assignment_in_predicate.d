/*
 * ASSERTION: A predicate may assign and step variables.
 * SECTION: Predicates
 */
BEGIN /x = 1/ { }
BEGIN /self->n++/ { }
BEGIN /this->k = arg0, this->k/ { }
