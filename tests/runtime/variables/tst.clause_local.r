calls:add 3

