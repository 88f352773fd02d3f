CPU     ID                    FUNCTION:NAME
CPU      1                           :BEGIN   -1   300         -5                    7|-1 ff 12c fffffffb

 255   300       -5                7                1
