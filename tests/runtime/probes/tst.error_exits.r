add 0
added 0
add 1
error
again
end

