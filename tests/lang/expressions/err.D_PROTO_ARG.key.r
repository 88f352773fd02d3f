dtrap: failed to compile script err.D_PROTO_ARG.key.d: [D_PROTO_ARG] line 5: a[ ] key #1 is incompatible with prototype:
	prototype: int
	      key: string
    BEGIN { a[1] = 3; trace(a["x"]); }
                              ^~~
