CPU     ID                    FUNCTION:NAME
CPU     ID                        add:entry 0 0
CPU     ID                        add:entry 1 2

