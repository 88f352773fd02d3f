# Stacks, as dtrap prints them as keys of an aggregation, to one line each: the outermost function first, `;` between
# them, then the count. Offsets are left out, so that calls from several places of a function are one.

/^[ \t]*$/ { next }

/^ *[0-9]+$/ {
	folded[stack] += $1
	stack = ""
	next
}

{
	sub(/^ +/, "")
	sub(/\+0x[0-9a-f]+$/, "")
	gsub(/;/, ":")
	stack = stack == "" ? $0 : $0 ";" stack
}

END {
	for (stack in folded)
		print stack, folded[stack] | "sort"
}
