dtrap: failed to compile script err.D_PROTO_ARG.inline_key.d: [D_PROTO_ARG] line 6: twice[ ] key #1 is incompatible with prototype:
	prototype: int
	      key: string
    BEGIN { trace(twice["a"]); }
                        ^~~
